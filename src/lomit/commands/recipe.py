"""`lomit translate --recipe`: makes a result of the editor anew."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from lomit.errors import LomitError
from lomit.images import as_picture, read_image, write_png

if TYPE_CHECKING:
    from lomit.commands.translate import TranslateOptions

TAKEN = {"recipe", "input", "exemplar", "model", "out", "overwrite", "device"}
"""Options that go with --recipe."""


def translate_recipe(options: TranslateOptions) -> int:
    """Writes INPUT__EXEMPLAR.png and says whether it is, value for value, what the editor gave.

    Returns:
        0.

    Raises:
        LomitError: for options that don't go with a recipe, for a recipe, an image or a model that isn't the one,
            and where the result exists already.
    """
    for each in fields(options):
        if each.name not in TAKEN and getattr(options, each.name) != each.default:
            raise LomitError(f"--{each.name.replace('_', '-')} does not go with --recipe; the recipe says it all")
    # Load torch: not before the options are known to be right.
    import torch

    from lomit.predictor import Predictor
    from lomit.recipe import Scene, read_recipe
    from lomit.recipe.file import gather, model_hash
    from lomit.recipe.source import content_hash

    path = Path(options.recipe or "")
    recipe = read_recipe(path)
    if len(options.exemplar) > len(recipe.exemplars):
        raise LomitError(f"the recipe has {len(recipe.exemplars)} exemplars; {len(options.exemplar)} given")
    sources = gather(recipe, [options.input, *options.exemplar], path.parent, read_image)
    # "avatars" is what stands there when nobody asked for a model.
    model = recipe.model if options.model == "avatars" else options.model
    if model_hash(model) != recipe.model_sha256:
        raise LomitError(
            f"the model '{model}' is not the one that the recipe was made with ('{recipe.model}', another version "
            "or other weights); give it with --model"
        )
    out = Path(options.out) / ("__".join(Path(source.name).stem for source in sources) + ".png")
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        scene = Scene(Predictor.from_pretrained(model, options.device), sources[0], sources[1:], recipe.label)
        image = scene.place(scene.render(recipe.edit), recipe.edit, recipe.composite)
    finally:
        torch.set_num_threads(before)
    write_png(out, image, options.overwrite)
    same = content_hash(as_picture(image)) == recipe.result_sha256
    print(f"made {out} anew: " + ("the same, bit for bit" if same else "not the same bits as in the editor"))
    return 0

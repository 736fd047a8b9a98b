"""`lomit recipe`: makes a result of the editor again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.groups import Output
from lomit.commands.options import positional
from lomit.errors import LomitError


@dataclass
class RunRecipe:
    """Make a result of the editor (`lomit edit`) again, from the recipe that was saved with it.

    Says whether it is the same, bit for bit.
    """

    recipe: Path = field(metadata=positional("RECIPE"))
    """File that the editor wrote."""
    input: Path | None = None
    """The input, where it does not lie beside the recipe."""
    exemplar: tuple[Path, ...] = ()
    """The exemplars, where they do not lie beside the recipe."""
    model: str | None = None
    """The model, where it is not called what it was called in the editor."""
    device: str | None = None
    """cpu, cuda, cuda:1, ...; by default CUDA where there is one."""
    output: Output = field(default_factory=lambda: Output(Path("translated")))

    def main(self) -> int:
        self.output.check_json([self.model, self.recipe, self.input, *self.exemplar])
        import torch

        from lomit.images import as_picture, read_image, short_stem, write_png
        from lomit.inference.predictor import Predictor
        from lomit.recipe import Scene, read_recipe
        from lomit.recipe.file import gather, model_hash
        from lomit.recipe.portrait import content_hash

        recipe = read_recipe(self.recipe)
        if len(self.exemplar) > len(recipe.exemplars):
            raise LomitError(f"the recipe has {len(recipe.exemplars)} exemplars; {len(self.exemplar)} given")
        sources = gather(recipe, [self.input, *self.exemplar], self.recipe.parent, read_image)
        model = recipe.model if self.model is None else self.model
        if model_hash(model) != recipe.model_sha256:
            raise LomitError(
                f"the model '{model}' is not the one that the recipe was made with ('{recipe.model}', another version "
                "or other weights); give it with --model"
            )
        out = self.output.out / (short_stem("__".join(Path(source.name).stem for source in sources)) + ".png")
        before = torch.get_num_threads()
        torch.set_num_threads(recipe.threads)
        try:
            scene = Scene(Predictor.from_pretrained(model, self.device), sources[0], sources[1:], recipe.label)
            image = scene.place(scene.render(recipe.edit), recipe.edit, recipe.composite)
        finally:
            torch.set_num_threads(before)
        write_png(out, image, self.output.overwrite)
        same = content_hash(as_picture(image)) == recipe.result_sha256
        self.output.say(f"made {out} again: " + ("the same, bit for bit" if same else "not the same bits as before"))
        self.output.write_json({"file": str(out), "identical": same})
        return 0

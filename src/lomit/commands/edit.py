"""`lomit edit`: the mask editor in the browser; `lomit recipe` makes one of its results again."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.groups import Compute, Output
from lomit.commands.options import positional
from lomit.errors import LomitError


@dataclass
class EditMasks:
    """Edit masks by hand in the browser and see at once what the model makes of them.

    Opens a page on this machine; nothing is sent elsewhere, and what you load is forgotten when the page is closed.
    Ctrl-C ends it.
    """

    model: str | None = None
    """Model to begin with: a name (see `lomit models`), a folder, a training run's folder, a Hugging Face Hub id, or a
    file that `lomit export` wrote.  Those that have a name can be chosen in the page.  By default it is `avatars`, and
    a photograph that is opened as the input takes a model of photographs."""
    host: str = "127.0.0.1"
    """Address to listen at; one that other machines reach, such as 0.0.0.0, needs a password."""
    port: int = 7860
    """Port to listen at; 0 takes a free one."""
    password_file: str | None = None
    """File with the password that the page asks for; or set LOMIT_EDIT_PASSWORD."""
    url: str | None = None
    """Address under which browsers reach it where a reverse proxy stands before it, such as https://lab.example/faces;
    needs a password."""
    proxy: bool = False
    """A reverse proxy on this machine passes requests on: take addresses from its X-Forwarded-For;
    needs a password."""
    no_browser: bool = False
    """Only print the page's address, instead of opening it in the browser."""
    compute: Compute = field(default_factory=Compute)

    def main(self) -> int:
        from lomit.apps.editor.server import find_password, running
        from lomit.apps.web import LOOPBACK, check_url, until_interrupted

        check_url(self.url)
        self.compute.set_threads()
        password = find_password(self.host, self.password_file, self.url, self.proxy)
        device = self.compute.device
        with running(self.model, self.host, self.port, password, device, url=self.url, proxy=self.proxy) as (_, url):
            print(f"the editor is at {url} (Ctrl-C ends it)", flush=True)
            if not self.no_browser and self.url is None and self.host in LOOPBACK:
                webbrowser.open(url)
            until_interrupted()
        return 0


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
    """cpu, cuda, cuda:1, mps (a Mac's GPU), ...; by default CUDA where there is one."""
    output: Output = field(default_factory=lambda: Output(Path("translated")))

    def main(self) -> int:
        self.output.check_json([self.model, self.recipe, self.input, *self.exemplar])
        import torch

        from lomit.images import as_picture, read_image, short_stem, write_png
        from lomit.inference.predictor import Predictor
        from lomit.recipe import read_recipe
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
            scene = recipe.scene(Predictor.from_pretrained(model, self.device), sources)
            image = scene.place(scene.render(recipe.edit), recipe.edit, recipe.composite)
        finally:
            torch.set_num_threads(before)
        write_png(out, image, self.output.overwrite)
        same = content_hash(as_picture(image)) == recipe.result_sha256
        self.output.say(f"made {out} again: " + ("the same, bit for bit" if same else "not the same bits as before"))
        self.output.write_json({"file": str(out), "identical": same})
        return 0

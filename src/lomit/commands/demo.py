"""`lomit demo`: a grid that shows what the model does, on rendered faces or on two images of the user's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from lomit.commands.groups import Network
from lomit.commands.options import positional
from lomit.config import DEMO_SEED
from lomit.errors import LomitError, at_least
from lomit.images import SOFTWARE, read_image, write_png


@dataclass
class Demo:
    """Translate six pairs of rendered faces, or one pair of your images, and draw a grid.

    Writes grid.png (input, its mask, exemplar, its mask, result, change) and the single images beside it.
    """

    input: str | None = field(default=None, metadata=positional("[INPUT]"))
    """Image to translate."""
    exemplar: str | None = field(default=None, metadata=positional("[EXEMPLAR]"))
    """Image whose style is taken."""
    out: Path = Path("demo")
    """Folder for the results; those of an earlier demo are replaced, other files are left alone."""
    seed: int = DEMO_SEED
    """Draws other faces."""
    network: Network = field(default_factory=Network)

    def main(self) -> int:
        at_least(0, seed=self.seed)
        if (self.input is None) != (self.exemplar is None):
            raise LomitError("give both INPUT and EXEMPLAR, or neither for rendered faces")
        from lomit.figures.demo import DemoPair, draw_grid, rendered_pairs, single_images

        model = self.network.settle([] if self.input is None else [self.input], print)
        predictor = self.network.predictor()
        if self.input is not None and self.exemplar is not None:
            caption = f"{Path(self.input).name}, exemplar {Path(self.exemplar).name}"
            pairs = [DemoPair(read_image(self.input), read_image(self.exemplar), caption)]
        else:
            pairs = rendered_pairs(predictor.attributes, predictor.image_size, self.seed)
        results = predictor.translate([pair.input for pair in pairs], [pair.exemplar for pair in pairs])
        files = {"grid.png": draw_grid(pairs, results)}
        for number, (pair, result) in enumerate(zip(pairs, results, strict=True), start=1):
            files |= {f"{number:02d}_{kind}.png": image for kind, image in single_images(pair, result).items()}
        for name in files:
            _check_free(self.out / name)
        for name, image in files.items():
            write_png(self.out / name, image, overwrite=True)
        print(f"translated {len(pairs)} pair{'s' * (len(pairs) > 1)} with the model '{model}'")
        print(f"look at {self.out / 'grid.png'}; the single images are beside it ({len(files)} files in {self.out})")
        return 0


def _check_free(path: Path) -> None:
    """Only what lomit itself wrote is replaced."""
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            if image.info.get("Software") == SOFTWARE:
                return
    except OSError:
        pass
    raise LomitError(f"{path} is in the way and was not written by lomit; move it or choose another --out")

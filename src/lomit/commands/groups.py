"""Options that several commands take."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lomit.commands.options import Group, named, positional
from lomit.config import MAX_THREADS, DataConfig, FacesConfig, Precision
from lomit.errors import LomitError, at_least, within
from lomit.inference.pairs import Jobs, by_label, by_random_styles, by_region, pair_up, read_pairs, with_masks

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from lomit.inference.predictor import Predictor


@dataclass
class Compute(Group):
    """What it is computed on."""

    device: str | None = None
    """cpu, cuda, cuda:1, mps (a Mac's GPU), ...; by default CUDA where there is one."""
    threads: int | None = None
    """CPU threads; by default PyTorch's choice."""

    def start(self) -> torch.device:
        """Sets the number of threads and returns the device.  Raises LomitError where there is no such device, or the
        number is none.
        """
        from lomit.inference.device import usable_device

        self.set_threads()
        return usable_device(self.device)

    def set_threads(self) -> None:
        """Sets the number of threads.  Raises `LomitError` where it is none."""
        within(1, MAX_THREADS, threads=self.threads)
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)


@dataclass
class Network(Compute):
    """The model, and what it is computed on."""

    threads: int | None = None
    """CPU threads; by default as many as other programs leave cores for, looked at again each second."""
    model: str | None = None
    """Name of a model (see `lomit models`), its folder, a training run's folder, a Hugging Face Hub id, or a file that
    `lomit export` wrote.  By default a model of photographs where the input is a photograph, and `avatars` where it is
    a rendered face."""

    precision: Precision = "auto"
    """What convolutions compute in.  auto tries both on the first images and takes the faster, where the CPU has
    bfloat16 in hardware and images stay within 4/255 of float32's; float32 gives the same bits on every run."""
    only: tuple[str, ...] = field(default=(), metadata=named("NAME ..."))
    """Attributes to move from the exemplar, by their names or words of them (hair, smiling), for a model whose masks go
    by names; by default those in which the two are told to differ."""

    def settle(
        self,
        paths: Iterable[str | Path],
        say: Callable[[str], None],
        see: Callable[[str | Path], Image.Image] | None = None,
        by_name: bool = False,
    ) -> str:
        """The model that was named; where none was, the one for the first image that can be read, which is told.
        Raises LomitError for a photograph where no model of photographs is at hand.

        Args:
            paths: of the inputs; none are rendered faces.
            see: what is looked at of a path, RGB; None: all of the image.
            by_name: whether exemplars are given by what they move; `only` asks for the same.
        """
        from lomit.images import read_image
        from lomit.inference.choice import RENDERED, choose_model

        for path in paths if self.model is None else ():
            try:
                image = read_image(path).on_white() if see is None else see(path)
            except LomitError:  # said where it is translated
                continue
            self.model, why = choose_model(image, str(path), by_name or bool(self.only))
            say(why)
            break
        self.model = self.model or RENDERED
        return self.model

    def predictor(self, compile: bool = False) -> Predictor:
        """Loads the model that `settle` settled.  Raises as `start` and `Predictor`."""
        from lomit.inference.threads import SpareCores

        within(1, MAX_THREADS, threads=self.threads)
        threads = self.threads or SpareCores()  # before torch is loaded: meanwhile it watches the load
        from lomit.inference.predictor import Predictor

        model = self.settle((), print)
        return Predictor.from_pretrained(
            model, self.device, threads=threads, compile=compile, precision=self.precision, only=self.only or None
        )


class WritesJson:
    """What a command with the options `--json` and `--overwrite` does with them."""

    json: Path | None
    overwrite: bool

    @property
    def prints_json(self) -> bool:
        """Whether the standard output is for the JSON."""
        return str(self.json) == "-"

    def say(self, line: str) -> None:
        """Prints a line for people: not into the JSON."""
        print(line, file=sys.stderr if self.prints_json else sys.stdout, flush=True)

    def check_json(self, read: Iterable[str | Path | None] = ()) -> None:
        """Checks, before any work, that the JSON can be written.  `read` and errors: see `check_file`."""
        if self.json is not None and not self.prints_json:
            check_file(self.json, self.overwrite, read)

    def write_json(self, values: Any) -> None:
        """Writes values, or a text that is JSON already, where that is asked for.  Raises as `write_file`."""
        text = values if isinstance(values, str) else json.dumps(values, indent=1) + "\n"
        if self.prints_json:
            print(text, end="")
        elif self.json is not None:
            from lomit.images import write_bytes

            write_bytes(self.json, text.encode(), self.overwrite)


@dataclass
class Output(WritesJson, Group):
    """What is written."""

    out: Path
    """Folder for the results."""
    overwrite: bool = False
    """Replace files that exist."""
    json: Path | None = None
    """File for what was done, as JSON; `-` is the standard output."""


@dataclass
class Images(Group):
    """What is translated, and by what it is guided."""

    input: str | None = field(default=None, metadata=positional("[INPUT]"))
    """Image to translate, or a folder of images."""
    exemplar: tuple[str, ...] = field(default=(), metadata=positional("[EXEMPLAR ...]"))
    """Image whose style is taken, or a folder of images.  Or NAME=IMAGE for each of several regions, such as
    hair=a.jpg smiling=b.jpg, for a model whose masks go by names: attributes by their names or words of them."""
    pairs: str | None = None
    """CSV table with the columns input and exemplar, in place of INPUT and EXEMPLAR."""
    match: Literal["all", "zip"] = "all"
    """Two folders: all combinations, or one to one in the order of the names."""
    label: tuple[str, ...] = field(default=(), metadata=named("NAME=0|1 ..."))
    """Target attributes, such as Blond_Hair=1 Smiling=0; those left out are 0.  In place of an exemplar for a method
    that is guided by labels; for a method with two domains it says to which one is translated (any 1: the one with the
    attributes, which is the default)."""
    input_mask: str | None = None
    """Grey image to use as the input's mask, white = foreground, as large as the input or square; or a folder of masks
    called like the inputs."""
    exemplar_mask: str | None = None
    """The same for the exemplar."""

    @property
    def named(self) -> set[Path]:
        """Files that were named themselves, not through a folder or a table."""
        exemplars = self.exemplar if self.regions is None else [path for _, path in self.regions]
        given = (self.input, *exemplars, self.input_mask, self.exemplar_mask)
        return {Path(name) for name in given if name is not None} if self.pairs is None else set()

    @property
    def regions(self) -> list[tuple[str, str]] | None:
        """(name, path) of each exemplar that is given as NAME=IMAGE; None where none is.  A file may be called so.

        Raises:
            LomitError: where only some are.
        """
        if self.pairs is not None or not any("=" in word and not os.path.exists(word) for word in self.exemplar):
            return None
        parts = [word.partition("=") for word in self.exemplar]
        for word, (name, _, path) in zip(self.exemplar, parts, strict=True):
            if not name or not path:
                raise LomitError(f"say what is taken from each exemplar, NAME=IMAGE; there is '{word}'")
        return [(name, path) for name, _, path in parts]

    def jobs(self, random: int | None = None) -> Jobs:
        """What is translated.  Raises LomitError for options that don't fit together and files that are missing.

        Args:
            random: so many random styles take the place of exemplars.
        """
        if self.pairs is not None:
            if self.input is not None:
                raise LomitError("--pairs takes the place of INPUT and EXEMPLAR; give one or the other")
            if random is not None:
                raise LomitError("--pairs and --random exclude each other: a row's style is its exemplar's")
            jobs = read_pairs(self.pairs)
        elif self.input is not None and self.exemplar:
            if random is not None:
                raise LomitError("--random takes the place of EXEMPLAR; give one or the other")
            if self.regions is not None:
                return self._by_region(self.input, self.regions)
            jobs = pair_up(self.input, self.exemplar, self.match)
        elif self.input is not None and (self.label or random is not None):
            if self.exemplar_mask is not None:
                raise LomitError("--exemplar-mask needs EXEMPLAR")
            label = parse_label(self.label)
            jobs = by_label(self.input, label) if random is None else by_random_styles(self.input, random)
        else:
            raise LomitError(
                "give INPUT and EXEMPLAR, or --pairs; a model that is guided otherwise takes INPUT with --label or, in "
                "lomit translate, --random"
            )
        return with_masks(jobs, self.input_mask, self.exemplar_mask)

    def _by_region(self, inputs: str, regions: Sequence[tuple[str, str]]) -> Jobs:
        if self.input_mask is not None or self.exemplar_mask is not None:
            raise LomitError(
                "NAME=IMAGE predicts a mask for each region; leave out --input-mask and --exemplar-mask, or give masks "
                "in Python (Predictor.compose)"
            )
        if self.label:
            raise LomitError("NAME=IMAGE takes the place of --label; give one or the other")
        return by_region(inputs, regions)


@dataclass
class FaceChoice(Group):
    """Which faces are meant, and how much they change."""

    face: str = field(default="1", metadata=named("N|all"))
    """Which face, 1 being the largest, or all."""
    exemplar_face: int = 1
    """Which face of the exemplar."""
    exemplar_box: tuple[int, int, int, int] | None = field(default=None, metadata=named("LEFT TOP RIGHT BOTTOM"))
    """Square in pixels to take for the crop of the exemplar's face where the detector finds none."""
    strength: float = 1.0
    """Factor on the change, 0 to 2."""

    def positions(self) -> tuple[int | Literal["all"], int]:
        """The face and the exemplar's as positions from 0.  Raises LomitError for anything else than numbers from 1, or
        `all` for the face.
        """
        at_least(1, exemplar_face=self.exemplar_face)
        if self.face == "all":
            return "all", self.exemplar_face - 1
        if not self.face.isdecimal() or int(self.face) < 1:
            raise LomitError(f"--face must be 1 (the largest face), 2, ... or all; it is '{self.face}'")
        return int(self.face) - 1, self.exemplar_face - 1


@dataclass
class LabelledData(FacesConfig):
    """Where the labelled faces are."""

    def config(self, image_size: int, attributes: tuple[str, ...] = ()) -> DataConfig:
        """The data config with these, for images of this size.  Raises LomitError where there is no root, or the size
        can't be.
        """
        if self.root is None:
            raise LomitError("no data: set --data.root to a folder of faces (lomit data avatars makes one)")
        return DataConfig(**vars(self), image_size=image_size, attributes=attributes)

    def words(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is not left at its default, as options with whole paths.

        Returns:
            The options that decide what the faces are, and those that say how they are decoded.
        """
        deciding: list[str] = []
        decoding: list[str] = []
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if value == each.default:
                continue
            values = value if isinstance(value, tuple) else (value,)
            if each.name in ("root", "extra_roots"):
                values = tuple(Path(path).expanduser().resolve() for path in values)
            words = decoding if each.name in ("workers", "cache_dir") else deciding
            words += [f"--data.{each.name.replace('_', '-')}", *map(str, values)]
        return tuple(deciding), tuple(decoding)


def parse_label(words: Sequence[str], option: str = "--label") -> tuple[tuple[str, float], ...]:
    """`Blond_Hair=1 Smiling=0` as pairs of attribute and value.  Raises `LomitError` for anything else."""
    pairs: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name or value not in ("0", "1"):
            raise LomitError(f"{option} needs NAME=1 or NAME=0, separated by spaces; it has '{word}'")
        if name in pairs:
            raise LomitError(f"{option} names '{name}' twice")
        pairs[name] = float(value)
    return tuple(pairs.items())


def check_file(path: Path, overwrite: bool, read: Iterable[str | Path | None] = ()) -> None:
    """Checks, before any work, that a file can be written.  Raises LomitError for a folder, a file that is read, and
    one that is in the way.

    Args:
        overwrite: whether another file may be replaced.
        read: files, and folders of files, that the command reads and never replaces; None is not given.
    """
    if path.is_dir():
        raise LomitError(f"{path} is a folder; give the file to write")
    if not os.path.lexists(path):
        return
    # Where it leads, and where it lies: a link in a folder that is read is one of its files.
    places = {os.path.realpath(path), os.path.join(os.path.realpath(path.parent), path.name)}
    above = {str(folder) for place in places for folder in (Path(place), *Path(place).parents)}
    if any(os.path.realpath(each) in above for each in read if each is not None):
        raise LomitError(f"{path} is, or lies in, what this command reads; choose another file to write")
    if not overwrite:
        raise LomitError(f"{path} exists already; add --overwrite to replace it")

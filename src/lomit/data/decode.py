"""Decoding a source's images to arrays of one size, in several processes, in order."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from lomit.config import DataConfig
from lomit.data.source import Source
from lomit.data.transforms import centre_box, resize, to_uint8_chw
from lomit.errors import LomitError

CHUNK = 32
"""Images a worker decodes per task."""
SMALL = 256
"""Sets up to this size are decoded in-process: starting workers takes longer."""
DAMAGED_SHARE = 0.01
"""Share of unreadable images above which a run stops."""
SHOWN = 5
"""Skipped images named in a message."""

logger = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")


class NoFaceError(Exception):
    """The detector found no face in an image; such an image is left out, but it is no damage."""


@dataclass(frozen=True)
class Geometry:
    """How a picture becomes a square of `size` pixels.

    Attributes:
        crop: side of the centre square to cut out; None, the largest.
        reference: shorter side of the set's full-size files (see `centre_box`).
        face_crop: `dlib` cuts the face out instead of the centre.
        margin: room around the detector's box, as a share of its side.
    """

    size: int
    crop: int | None
    reference: int | None
    face_crop: str
    margin: float = 0.25

    @classmethod
    def of(cls, source: Source, config: DataConfig) -> Geometry:
        """The configured geometry: with the source's own crop where none is configured, without where faces are cut."""
        if config.face_crop != "none":
            return cls(config.image_size, None, None, config.face_crop, config.face_margin)
        return cls(config.image_size, config.crop or source.default_crop, source.default_crop, config.face_crop)

    def cut(self, image: Image.Image) -> Image.Image:
        """The square of an RGB picture that counts, at the picture's own resolution.

        Raises:
            NoFaceError: where a face is to be cut out and there is none.
        """
        if self.face_crop == "none":
            return image.crop(centre_box(image.size, self.crop, self.reference))
        from lomit.data.detector import crop_face

        face = crop_face(image, self.margin)
        if face is None:
            raise NoFaceError
        return face

    def apply(self, image: Image.Image) -> Image.Image:
        """An RGB picture as a square one of `size` pixels; errors as for `cut`."""
        return resize(self.cut(image), self.size)

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        """A region mask, uint8 H x W, cut like its picture; nearest pixels, since its values are bits."""
        image = Image.fromarray(mask)
        image = image.crop(centre_box(image.size, self.crop, self.reference))
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.NEAREST))


@dataclass(frozen=True)
class Decoded:
    """The outcome for one image: its pixels (uint8, 3 x S x S), or why there are none, and whether it is damaged."""

    index: int
    pixels: np.ndarray | None
    problem: str = ""
    damaged: bool = False


def decode(source: Source, index: int, geometry: Geometry) -> Decoded:
    """Loads and cuts one image; a damaged or missing file is an outcome, not an exception."""
    try:
        image = source.load(index)
    except LomitError as error:
        return Decoded(index, None, str(error), damaged=True)
    except OSError as error:
        return Decoded(index, None, f"{source.names[index]}: {error}", damaged=True)
    try:
        return Decoded(index, to_uint8_chw(geometry.apply(image)))
    except NoFaceError:
        return Decoded(index, None, f"{source.names[index]}: no face found")


def leave_unguarded_child() -> None:
    """Ends a worker process that runs its parent's script, where building a cache would wait for the parent's."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(1)  # the parent says in one line what is missing in the script


_state: tuple[Source, Geometry] | None = None


def _start(source: Source, geometry: Geometry) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    global _state  # one source per worker process, so that it is sent once and not with each task
    _state = source, geometry


def _decode_chunk(indices: list[int]) -> list[Decoded]:
    assert _state is not None
    source, geometry = _state
    return [decode(source, i, geometry) for i in indices]


def decode_all(source: Source, indices: Sequence[int], geometry: Geometry, workers: int) -> Generator[Decoded]:
    """These images of the source, in order.

    At most two chunks a worker are under way, so memory stays bounded however slowly the caller takes them.  Raises
    LomitError where a worker process dies.
    """
    if workers <= 0 or len(indices) <= SMALL:
        yield from (decode(source, i, geometry) for i in indices)
        return
    # spawn: forking a process in which torch has started its threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (source, geometry)) as pool:
        chunks = (list(indices[start : start + CHUNK]) for start in range(0, len(indices), CHUNK))
        try:
            for decoded in ahead(lambda chunk: pool.submit(_decode_chunk, chunk), chunks, 2 * workers - 1):
                yield from decoded
        except BrokenProcessPool as error:
            raise LomitError(
                "a process that decodes images died (out of memory, or a script without `if __name__ == '__main__'`?); "
                "try --data.workers 1, or 0 to decode in-process"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def ahead(submit: Callable[[T], Future[S]], items: Iterable[T], most: int) -> Iterator[S]:
    """The results for items in order, while at most `most` further ones are computed."""
    waiting: deque[Future[S]] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@dataclass
class Skipped:
    """The images, out of `total`, that could not be used, with the reason; stops a run that loses too many."""

    total: int
    reasons: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def add(self, name: str, result: Decoded) -> None:
        """Notes one image.  Raises LomitError where more than 1 % of the images are damaged or missing; a single one
        never stops a run.
        """
        self.reasons[name] = result.problem
        if result.damaged:
            self.damaged.append(name)
        if len(self.damaged) > max(1, DAMAGED_SHARE * self.total):
            raise LomitError(
                f"more than {DAMAGED_SHARE:.0%} of the {self.total} images cannot be read: {self.shown(self.damaged)}"
            )

    def shown(self, names: Sequence[str]) -> str:
        """Why the first few of these were skipped, for a message."""
        first = "; ".join(self.reasons[name] for name in names[:SHOWN])
        return first + (f"; and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

    def report(self) -> None:
        """Warns of what was skipped, if anything was."""
        if self.reasons:
            logger.warning("skipped %d of %d images: %s", len(self.reasons), self.total, self.shown([*self.reasons]))


def decode_usable(
    source: Source, indices: Sequence[int], geometry: Geometry, workers: int, progress: bool, skipped: Skipped
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, pixels) of the images that can be used, in order, under a progress bar; the others go into `skipped`."""
    show = progress and sys.stderr.isatty()
    with contextlib.closing(decode_all(source, indices, geometry, workers)) as results:
        for result in tqdm(results, total=len(indices), desc="decoding", unit="img", file=sys.stderr, disable=not show):
            if result.pixels is None:
                skipped.add(source.names[result.index], result)
            else:
                yield result.index, result.pixels
    if len(skipped.reasons) == len(indices):
        raise LomitError(f"none of the images can be used: {skipped.shown([*skipped.reasons])}")

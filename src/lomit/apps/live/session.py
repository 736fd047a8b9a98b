"""What the page of `lomit live` looks at: the model, the exemplar, the face in front of the camera.  Knows no HTTP."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from threading import Lock

from lomit.errors import LomitError
from lomit.images import Picture, read_upload
from lomit.inference.predictor import Predictor
from lomit.photo.align import align
from lomit.photo.faces import Face
from lomit.photo.live import Live, LiveFrame
from lomit.photo.tracking import Tracker
from lomit.photo.translate import ExemplarFace, align_exemplar

FRAME_PIXELS = 1920 * 1080
"""Width times height of a frame; the page scales larger ones down."""
EXEMPLAR_BYTES, EXEMPLAR_PIXELS = 20 * 2**20, 40_000_000
"""Size of an exemplar's file, and of its picture."""
SHOWN = 256
"""Side of the exemplar's face as the page shows it."""
QUALITY = 85
"""Of the JPEGs that are sent back."""


class TakenOver(Exception):
    """The page is open once more, and the newer one has the camera."""


class LiveSession:
    """One model before one camera.  Frames come from one page at a time, the one that was opened last.

    Args:
        predictor: a model that is guided by an exemplar.
        exemplar: the one to begin with.
        faces: the exemplar's faces, in place of the detector's.
        new_tracker: makes what follows the face; None: `LiveTracker`.
        now: tells seconds.

    Raises:
        LomitError: where the exemplar can't be read or shows no face, and for a model that no exemplar guides.
    """

    def __init__(
        self,
        predictor: Predictor,
        exemplar: Picture,
        faces: Sequence[Face] | None = None,
        new_tracker: Callable[[], Tracker | None] = lambda: None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        if "exemplar" not in predictor.guides:
            raise LomitError(
                "lomit live needs a model that an exemplar guides; choose one by --model (see lomit models)"
            )
        self.predictor, self._now, self._new_tracker = predictor, now, new_tracker
        self._lock, self._page = Lock(), 0
        self._only: tuple[str, ...] = ()
        self.exemplar_png = b""
        self._take(exemplar, faces)

    @property
    def names(self) -> tuple[str, ...]:
        """What can be chosen to be moved; empty where the model's masks don't go by names."""
        return self.predictor.attributes if self.predictor.translator.places else ()

    def open(self) -> int:
        """A page begins; returns its number.  The face is looked for anew."""
        with self._lock:
            self._page += 1
            self._live = self._new_live()
            return self._page

    def frame(
        self, page: int, data: bytes, *, strength: float = 1.0, only: Sequence[str] = (), show_mask: bool = False
    ) -> tuple[bytes, LiveFrame]:
        """A frame translated: as a JPEG, and what became of it.

        Args:
            page: its number, from `open`.
            data: the frame, as a file of an image.
            strength: factor on the change, 0 to 2.
            only: attributes to move; empty: those that the model was started with.
            show_mask: the mask in place of the translation.

        Raises:
            TakenOver: where a newer page is open.
            LomitError: for a frame that can't be read, a strength out of range, and attributes that the model lacks.
        """
        begin = time.perf_counter()
        image = read_upload(data, "the frame", FRAME_PIXELS).on_white()
        decoded = time.perf_counter() - begin
        if not 0 <= strength <= 2:
            raise LomitError(f"the strength must lie between 0 and 2; it is {strength:g}")
        if not set(only) <= set(self.names):
            raise LomitError(f"attributes that can be moved are: {', '.join(self.names) or 'none by name'}")
        with self._lock:
            if page != self._page:
                raise TakenOver
            if tuple(only) != self._only:
                self._live.guide(self._exemplar, only)
                self._only = tuple(only)
            done = self._live.frame(image, self._now(), strength=strength, show_mask=show_mask)
        begin = time.perf_counter()
        file = io.BytesIO()
        done.image.save(file, "JPEG", quality=QUALITY)
        done.seconds.update(decode=decoded, encode=time.perf_counter() - begin)
        return file.getvalue(), done

    def choose(self, data: bytes, name: str) -> None:
        """Takes another exemplar, a file of an image.  Raises `LomitError`, and then the one before stays."""
        if len(data) > EXEMPLAR_BYTES:
            raise LomitError(f"{name} has more than {EXEMPLAR_BYTES >> 20} MB; scale it down first")
        picture = read_upload(data, name, EXEMPLAR_PIXELS)
        with self._lock:
            self._take(picture, None)
            self._live.guide(self._exemplar, self._only)

    def _take(self, picture: Picture, faces: Sequence[Face] | None) -> None:
        self._exemplar: ExemplarFace = align_exemplar(picture, self.predictor.image_size, faces=faces)
        file = io.BytesIO()
        align(picture, self._exemplar.face, SHOWN).save(file, "PNG")
        self.exemplar_png = file.getvalue()
        if not self._page:
            self._live = self._new_live()

    def _new_live(self) -> Live:
        return Live(self.predictor, self._exemplar, self._only, self._new_tracker())

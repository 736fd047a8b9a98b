"""The frame loop without HTTP: frames in, frames out, one page at a time."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch
from PIL import Image

from doubles import double
from lomit import Predictor
from lomit.apps.live import session as live_session
from lomit.apps.live.session import LiveSession, TakenOver
from lomit.errors import LomitError
from lomit.images import as_picture
from lomit.models.lomit.config import LossWeights
from lomit.models.lomit.model import Lomit
from lomit.photo import Face
from lomit.photo.tracking import Tracker
from support.photos import smooth
from support.scenes import EXEMPLAR, SIZE, jpeg, opened, path, rendered, scene
from support.tiny import tiny_translator

BLUE = Image.new("RGB", SIZE, (40, 60, 120))
FACE = Face.from_crop((200, 120, 440, 360))


class Still(Tracker):
    """Sees the face always at one place."""

    def __init__(self) -> None:
        super().__init__(0)

    def update(self, image: Image.Image, time: float) -> list[Face]:
        return [FACE]


class Whole(Predictor):
    """Of a method that translates, but can't be edited."""

    can_blend = False


def named() -> Predictor:
    """A model whose masks go by names."""
    weights = LossWeights(style_cls=1.0)
    model = tiny_translator(mask_sees="differences", weights=weights, attributes=("Black_Hair", "Smiling"))
    assert isinstance(model, Lomit)
    assert model.generator.cosegmentation is not None
    torch.nn.init.normal_(model.generator.cosegmentation.differences)  # type: ignore[arg-type]
    return Predictor(model, "cpu", only="hair")


def of_double(colour: tuple[int, int, int] = (220, 40, 40)) -> LiveSession:
    """A session that paints the left half of the face in the exemplar's colour."""
    exemplar = as_picture(Image.new("RGB", (64, 64), colour), "the exemplar")
    return LiveSession(Whole(double(), "cpu"), exemplar, [Face.from_crop((0, 0, 64, 64))], Still)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(opened(data)).astype(int)


def test_a_face_that_moves_is_translated_in_every_frame(predictor: Predictor) -> None:
    frames = count()
    # How far landmarks are smoothed depends on the time between frames: here 15 a second, however busy the machine.
    session = LiveSession(predictor, as_picture(rendered(*EXEMPLAR), "the exemplar"), now=lambda: next(frames) / 15)
    page = session.open()
    for shift in path(12):
        frame = jpeg(scene(shift))
        data, done = session.frame(page, frame)
        assert done.found
        assert done.seconds.keys() == {"find", "translate", "paste", "decode", "encode"}
        change = np.abs(pixels(data) - pixels(frame)).max(axis=2)
        rows, columns = np.nonzero(change > 30)
        assert len(rows) > 3000
        # On the face, wherever it is.
        assert np.abs(columns - 320 - shift[0]).max() < 190
        assert np.abs(rows - 240 - shift[1]).max() < 190
        far = np.abs(np.arange(SIZE[0]) - 320 - shift[0]) > 220
        assert change[:, far].mean() < 2  # what JPEG costs


def test_a_frame_without_a_face_comes_back_as_it_was(session: LiveSession) -> None:
    frame = jpeg(smooth(*SIZE))
    data, done = session.frame(session.open(), frame)
    assert not done.found
    assert np.abs(pixels(data) - pixels(frame)).mean() < 1.5


def test_strength_and_mask() -> None:
    session = of_double()
    page, frame = session.open(), jpeg(BLUE)
    red = [pixels(session.frame(page, frame, strength=s)[0])[240, 270, 0] for s in (0.0, 0.5, 1.0)]
    assert red[0] == pytest.approx(40, abs=6)
    assert red[1] == pytest.approx(130, abs=12)
    assert red[2] == pytest.approx(220, abs=12)
    tinted = pixels(session.frame(page, frame, show_mask=True)[0])
    assert tinted[240, 270].tolist() == pytest.approx([169, 48, 72], abs=8)
    assert tinted[240, 400].tolist() == pytest.approx([40, 60, 120], abs=8)
    for strength in (-0.1, 2.1, float("nan")):
        with pytest.raises(LomitError, match="strength must lie between 0 and 2"):
            session.frame(page, frame, strength=strength)


def test_the_newest_page_has_the_camera() -> None:
    session = of_double()
    first, frame = session.open(), jpeg(BLUE)
    session.frame(first, frame)
    second = session.open()
    with pytest.raises(TakenOver):
        session.frame(first, frame)
    with pytest.raises(TakenOver):
        session.frame(99, frame)
    assert session.frame(second, frame)[1].found


def test_attributes_are_chosen_by_name() -> None:
    predictor = named()
    assert predictor.moved == ("Black_Hair",)
    exemplar = as_picture(smooth(64, 64), "the exemplar")
    session = LiveSession(predictor, exemplar, [Face.from_crop((0, 0, 64, 64))], Still)
    assert session.names == ("Black_Hair", "Smiling")
    page, frame = session.open(), jpeg(scene())

    by_default = session.frame(page, frame)[0]
    assert session.frame(page, frame, only=["Black_Hair"])[0] == by_default, "as it was started"
    # Other attributes take effect in the first frame: no mask of before is averaged in.
    smiling = session.frame(page, frame, only=["Smiling"])[0]
    assert smiling == session.frame(page, frame, only=["Smiling"])[0]
    assert smiling != by_default
    with pytest.raises(LomitError, match="can be moved are: Black_Hair, Smiling"):
        session.frame(page, frame, only=["Beard"])
    with pytest.raises(LomitError, match="none by name"):
        of_double().frame(page, frame, only=["Smiling"])


def test_another_exemplar(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    session = LiveSession(predictor, as_picture(rendered(*EXEMPLAR), "the exemplar"), new_tracker=Still)
    page, frame = session.open(), jpeg(scene())
    before, png = session.frame(page, frame)[0], session.exemplar_png
    assert opened(png).size == (256, 256)
    for data, says in [
        (b"no image", "no.png is not an image"),
        (jpeg(smooth(300, 300)), "no face found in no.png"),
    ]:
        with pytest.raises(LomitError, match=says):
            session.choose(data, "no.png")
        assert session.exemplar_png == png
        assert session.frame(page, frame)[0] == before, "the one before stays"
    session.choose(jpeg(rendered(3, 11)), "another.jpg")
    assert session.exemplar_png != png
    assert session.frame(page, frame)[0] != before
    monkeypatch.setattr(live_session, "EXEMPLAR_BYTES", 10)
    with pytest.raises(LomitError, match="large.png has more than"):
        session.choose(bytes(11), "large.png")


@pytest.mark.parametrize("data", [b"", b"no image", jpeg(BLUE)[:2000], b"\xff\xd8\xff" + bytes(50)])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    session = of_double()
    page = session.open()
    with pytest.raises(LomitError, match="the frame"):
        session.frame(page, data)
    assert session.frame(page, jpeg(BLUE))[1].found


def test_frames_that_are_too_large_are_refused() -> None:
    session = of_double()
    with pytest.raises(LomitError, match="the frame"):
        session.frame(session.open(), jpeg(Image.new("RGB", (1921, 1080))))


def test_a_model_that_no_exemplar_guides_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "guides", frozenset({"label"}))
    with pytest.raises(LomitError, match="needs a model that an exemplar guides"):
        of_double()

"""A running page of `lomit live` over rendered faces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lomit import Predictor
from lomit.apps.live.server import running
from lomit.apps.live.session import LiveSession
from lomit.images import as_picture
from support.scenes import EXEMPLAR, rendered

pytest.importorskip("starlette", reason="needs the apps extra")
pytest.importorskip("dlib", reason="needs the faces extra")


@pytest.fixture(scope="package")
def predictor() -> Iterator[Predictor]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Predictor.from_pretrained("avatars", "cpu")
    torch.set_num_threads(before)


@pytest.fixture
def session(predictor: Predictor) -> LiveSession:
    return LiveSession(predictor, as_picture(rendered(*EXEMPLAR), "the exemplar"))


@pytest.fixture
def url(session: LiveSession) -> Iterator[str]:
    """The page's address."""
    with running(session, port=0) as address:
        yield address

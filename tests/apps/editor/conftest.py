"""A running editor, a browser, and visitors that speak to the editor without one."""

from __future__ import annotations

import base64
import json
import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lomit.apps.editor.page import Page
from lomit.apps.editor.server import running
from lomit.apps.editor.state import Limits
from lomit.data.avatars import render_face
from lomit.recipe.file import encode_mask

pytest.importorskip("gradio", reason="needs the editor extra")
LIMITS = Limits(upload_bytes=2 * 2**20, upload_pixels=2_000_000, kept=3, sessions=14, queue=40)
JOIN = "/gradio_api/queue/join"
SLIDERS = (1.0, 0.0, 0.5, [], True)
"""What the controls of a new page say."""


@pytest.fixture(scope="package")
def editor() -> Iterator[tuple[Page, str]]:
    """The page and its address."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with running("avatars", port=0, device="cpu", limits=LIMITS) as served:
            yield served
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of four rendered faces: two pairs, the first input on a wider canvas."""
    folder = tmp_path_factory.mktemp("faces")
    paths = []
    for index in range(4):
        image = render_face(7, index, 160, regions=False).image
        if index == 0:
            wide = Image.new("RGB", (220, 160), "navy")
            wide.paste(image, (30, 0))
            image = wide
        paths.append(folder / f"face{index}.png")
        image.save(paths[-1])
    return paths


class Visitor:
    """A page without a browser: sends events as Gradio's script does, and reads what comes back."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url, self.hash = page, url, secrets.token_hex(8)
        self.functions = {
            (target, event): function._id for function in page.blocks.fns.values() for target, event in function.targets
        }

    def send(self, component: Any, event: str, told: dict[str, Any] | None = None, *values: Any) -> list[Any]:
        """The values that an event's outputs get.

        Raises:
            RuntimeError: with the message that a person would see.
        """
        wanted = json.loads(self.post(JOIN, self.request(component, event, told, *values)))["event_id"]
        with urllib.request.urlopen(
            f"{self.url}/gradio_api/queue/data?session_hash={self.hash}", timeout=120
        ) as stream:
            for line in stream:
                if line.startswith(b"data:"):
                    message = json.loads(line[5:])
                    if message["msg"] == "process_completed" and message["event_id"] == wanted:
                        output = message["output"]
                        if not message["success"]:
                            raise RuntimeError(output.get("error"))
                        return list(output["data"])
        raise RuntimeError("no answer")

    def request(self, component: Any, event: str, told: dict[str, Any] | None = None, *values: Any) -> bytes:
        """The body that asks for an event."""
        body = {
            "data": list(values),
            "event_data": told,
            "fn_index": self.functions[component._id if component is not None else self.page.blocks._id, event],
            "trigger_id": None,
            "session_hash": self.hash,
        }
        return json.dumps(body).encode()

    def post(self, path: str, body: bytes) -> bytes:
        request = urllib.request.Request(self.url + path, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return bytes(answer.read())

    def load(self) -> list[Any]:
        return self.send(None, "load")

    def act(self, action: str, **told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The workbench and the viewer after an action."""
        bench, viewer, *_ = self.send(self.page.bench, "act", {"action": action, **told}, *SLIDERS)
        return bench, viewer

    def open(self, pane: int, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        data = base64.b64encode(path.read_bytes()).decode()
        return self.act("open", pane=pane, name=path.name, data=data)

    def stroke(self, pane: int, mask: Image.Image) -> None:
        """A mask drawn on the image that lies in the pane."""
        self.send(self.page.bench, "stroke", {"masks": [self.drawn(pane, mask)]})

    def drawn(self, pane: int, mask: Image.Image) -> dict[str, Any]:
        """A mask as the page sends it."""
        slot = self.page.sessions.get(self.hash).slots[pane]
        assert slot is not None
        return {"pane": pane, "revision": slot.stamp, "operation": slot.operation, "mask": encode_mask(mask)}

    def save(self, what: str, *sliders: Any, **told: Any) -> dict[str, Any]:
        (file,) = self.send(self.page.viewer, "save", {"what": what, **told}, *(sliders or SLIDERS))
        return dict(file)

    def close(self) -> None:
        self.page.sessions.end(self.hash)


@pytest.fixture
def visitor(editor: tuple[Page, str]) -> Iterator[Visitor]:
    one = Visitor(*editor)
    yield one
    one.close()

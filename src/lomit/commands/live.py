"""`lomit live`: the face before a camera, translated in the browser as it moves."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.groups import Network
from lomit.commands.options import named, positional


@dataclass
class LiveView:
    """Translate the face before a camera, as it moves, in a page of the browser.

    The page takes the camera or a video file, and sends frame after frame to this program, which listens on this
    machine alone; no frame is kept.  Ctrl-C ends it.  docs/video.md says more.
    """

    exemplar: Path = field(metadata=positional("EXEMPLAR"))
    """Image whose style is taken; the page takes others, too."""
    exemplar_box: tuple[int, int, int, int] | None = field(default=None, metadata=named("LEFT TOP RIGHT BOTTOM"))
    """Square in pixels to take for the crop of the exemplar's face where the detector finds none."""
    video: Path | None = None
    """Video file to begin with in place of the camera."""
    port: int = 7861
    """Port to listen at; 0 takes a free one."""
    no_browser: bool = False
    """Only print the page's address, instead of opening it in the browser."""
    network: Network = field(default_factory=Network)

    def main(self) -> int:
        from lomit.apps.live.server import require_server, running
        from lomit.apps.live.session import LiveSession
        from lomit.apps.web import until_interrupted
        from lomit.images import read_image
        from lomit.inference.choice import model_of_photographs
        from lomit.photo import Face
        from lomit.photo.faces import check_detector
        from lomit.photo.video import first_face

        require_server()
        check_detector()
        picture = read_image(self.exemplar)
        faces = None if self.exemplar_box is None else [Face.from_crop(self.exemplar_box)]
        if self.video is not None:
            self.network.settle([self.video], print, first_face)
        elif self.network.model is None:
            # Whatever the exemplar is, a camera shows people.
            self.network.model, why = model_of_photographs("what a camera shows", bool(self.network.only))
            print(why)
        session = LiveSession(self.network.predictor(), picture, faces)
        with running(session, self.port, self.video) as url:
            print(f"the page is at {url} (Ctrl-C ends it)", flush=True)
            if not self.no_browser:
                webbrowser.open(url)
            until_interrupted()
        return 0

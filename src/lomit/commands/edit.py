"""`lomit edit`: the mask editor in the browser."""

from __future__ import annotations

import signal
import threading
import webbrowser
from dataclasses import dataclass, field

from lomit.commands.groups import Compute


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
        from lomit.apps.web import LOOPBACK, check_url

        check_url(self.url)
        self.compute.set_threads()
        password = find_password(self.host, self.password_file, self.url, self.proxy)
        device = self.compute.device
        with running(self.model, self.host, self.port, password, device, url=self.url, proxy=self.proxy) as (_, url):
            print(f"the editor is at {url} (Ctrl-C ends it)", flush=True)
            if not self.no_browser and self.url is None and self.host in LOOPBACK:
                webbrowser.open(url)
            # SIGTERM counts as Ctrl-C: the private folder is removed then, too.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                print("\nended; nothing was kept")
        return 0

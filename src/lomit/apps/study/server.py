"""The web server of a study: consent, trials, answers; and the owner's page.

Addresses on a page are relative, so that the study may stand below any path of a reverse proxy.
"""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.gate import Gate, refusal
from lomit.apps.study.pages import Pages
from lomit.apps.study.results import answers_csv, panel_csv, progress
from lomit.apps.study.store import AnswerStore, Participant
from lomit.apps.study.trials import picture_at, progress_json, received, trials_json
from lomit.apps.web import Guard, token
from lomit.errors import LomitError, require

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC = {
    "study.js": ("static", "text/javascript"),
    "join.js": ("static", "text/javascript"),
    "owner.js": ("static", "text/javascript"),
    "study.css": ("static", "text/css"),
    "icon.svg": ("static", "image/svg+xml"),
    "jspsych.js": ("vendor", "text/javascript"),
}
"""File -> its folder in this package and its type."""
LINK = "link"
"""Parameter of the consent form: the token that it makes a participant of."""
MOST_BODY = 64 * 1024
"""Bytes; the answers to a whole study are a tenth of it."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Scripts, styles and pictures from here alone, none within the page; nobody frames it, no form leads elsewhere."""
KEPT = {"cache-control": "private, max-age=86400, immutable"}
"""Pictures stay in the participant's browser: what is shown has been fetched before, also after a reload."""


def require_server() -> None:
    """Raises `LomitError` where the extra is missing."""
    require("serving a study", "apps", "fastapi", "jinja2", "uvicorn")


def create_app(folder: StudyFolder, store: AnswerStore, rate: float = 20.0, joins: float = 2.0) -> FastAPI:
    """The application.  Raises LomitError where the extra is missing.

    Args:
        rate: requests a second of one participant in the long run; 400 at once, more where a list has many pictures.
        joins: new participants a second from one address, and links that don't exist; 300 at once.
    """
    require_server()
    from fastapi import FastAPI

    # FastAPI's own redirects name the host, which a proxy has changed.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, policy=POLICY, most_body=MOST_BODY)
    gate = Gate(folder, store, rate, joins)
    pages = Pages(folder)
    _add_common(app, pages)
    _add_participants(app, folder, store, gate, pages)
    _add_owner(app, folder, store, gate, pages)
    return app


def _path(request: Any) -> str:
    """Where the page is below the study's own address."""
    return request.scope["path"].removeprefix(request.scope.get("root_path", ""))


def _given() -> Any:
    """The request as a dependency.

    FastAPI looks annotations up among a module's globals, where an extra has no place; so it is told by hand.
    """
    from fastapi import Depends, Request

    def given(request: Any) -> Any:
        return request

    given.__annotations__ = {"request": Request}
    return Depends(given)


def _add_common(app: FastAPI, pages: Pages) -> None:
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.exceptions import HTTPException

    static_files = {
        name: files("lomit.apps.study").joinpath(place, name).read_bytes() for name, (place, _) in STATIC.items()
    }

    @app.exception_handler(HTTPException)
    def refused(request: Any, error: HTTPException) -> Any:
        return HTMLResponse(pages.refused(_path(request), error.status_code), error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def misshapen(request: Any, error: RequestValidationError) -> Any:
        return HTMLResponse(pages.refused(_path(request), 422), 422)

    @app.exception_handler(LomitError)
    def denied(request: Any, error: LomitError) -> Any:
        # The disk is full, or a file is gone: the owner reads why, participants' pages go on trying.
        print(f"lomit: error: {error}", file=sys.stderr, flush=True)
        return HTMLResponse(pages.refused(_path(request), 503), 503, headers={"retry-after": "10"})

    @app.get("/")
    def root() -> Any:
        return HTMLResponse(pages.message("/", "A study", "To take part, open the link that you were given."))

    @app.get("/health")
    def health() -> Any:
        return PlainTextResponse("ok")

    @app.get("/static/{name}")
    def static(name: str) -> Any:
        if name not in STATIC:
            raise HTTPException(404)
        return Response(static_files[name], media_type=STATIC[name][1], headers={"cache-control": "no-cache"})


def _add_participants(app: FastAPI, folder: StudyFolder, store: AnswerStore, gate: Gate, pages: Pages) -> None:
    from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

    the_request = _given()

    @app.get("/join/{word}")
    def invitation(word: str, request: Any = the_request) -> Any:
        gate.joining(word, request, making=False)
        gate.panel_name(request, folder.study.external_id)
        # The page holds the link that its form makes: two clicks, or a reply that is lost, make no second participant.
        query = "&".join(part for part in (request.url.query, f"{LINK}={token()}") if part)
        return HTMLResponse(pages.consent(_path(request), query))

    @app.get("/join/{word}/")
    def with_slash(word: str, request: Any = the_request) -> Any:
        # The query holds the panel's name.
        return RedirectResponse("?".join(part for part in (f"../{word}", request.url.query) if part), 307)

    @app.post("/join/{word}")
    def join(word: str, request: Any = the_request) -> Any:
        gate.joining(word, request, making=True)
        name = gate.panel_name(request, folder.study.external_id)
        given = request.query_params.getlist(LINK)
        made = given[-1] if given and re.fullmatch(r"[A-Za-z0-9_-]{43}", given[-1]) else None
        return RedirectResponse(f"../s/{store.join('person', name, made)}/", 303)

    @app.get("/s/{secret}/")
    def page(secret: str, request: Any = the_request) -> Any:
        who = gate.participant(secret, request)
        if who.state == "invited":
            return HTMLResponse(pages.consent(_path(request)))
        if who.state == "withdrawn":
            return HTMLResponse(pages.refused(_path(request), 410))
        return HTMLResponse(pages.trials(_path(request), who))

    @app.get("/s/{secret}")
    def without_slash(secret: str) -> Any:
        return RedirectResponse(f"./{secret}/", 307)

    @app.post("/s/{secret}/")
    def consent(secret: str, request: Any = the_request) -> Any:
        store.consent(gate.participant(secret, request).id)
        return RedirectResponse("./", 303)

    @app.get("/s/{secret}/trials")
    def trials(secret: str, request: Any = the_request) -> Any:
        who = taking_part(secret, request)
        return JSONResponse(trials_json(folder, who, store.answered(who.id)))

    @app.get("/s/{secret}/{position}/{place}")
    def image(secret: str, position: int, place: str, request: Any = the_request) -> Any:
        picture = picture_at(folder, taking_part(secret, request), position, place)
        if picture is None:
            raise refusal(404)
        return Response(folder.image(picture).read_bytes(), media_type="image/png", headers=KEPT)

    @app.post("/s/{secret}/answers")
    def answers(secret: str, body: dict, request: Any = the_request) -> Any:
        who = taking_part(secret, request)
        found = received(folder, who, body)
        if found is None:
            raise refusal(422)
        if not store.add(who.id, found):
            raise refusal(410)
        return JSONResponse(progress_json(folder, who, store.answered(who.id)))

    @app.post("/s/{secret}/withdraw")
    def withdraw(secret: str, request: Any = the_request) -> Any:
        store.withdraw(gate.participant(secret, request).id)
        return RedirectResponse("./", 303)

    def taking_part(secret: str, request: Any) -> Participant:
        who = gate.participant(secret, request)
        if who.state == "invited":
            raise refusal(403)
        if who.state == "withdrawn":
            raise refusal(410)
        return who


def _add_owner(app: FastAPI, folder: StudyFolder, store: AnswerStore, gate: Gate, pages: Pages) -> None:
    from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

    the_request = _given()

    @app.get("/owner")
    def owner() -> Any:
        return HTMLResponse(pages.owner("/owner"))

    @app.get("/owner/")
    def with_slash() -> Any:
        return RedirectResponse("../owner", 307)

    @app.get("/owner/results")
    def results(request: Any = the_request) -> Any:
        gate.owner(request)
        return JSONResponse(progress(folder, store))

    @app.get("/owner/answers.csv")
    def table(request: Any = the_request) -> Any:
        gate.owner(request)
        return Response(answers_csv(folder, store, "person"), media_type="text/csv")

    @app.get("/owner/panel.csv")
    def panel(request: Any = the_request) -> Any:
        gate.owner(request)
        if not folder.study.external_id:
            raise refusal(404)
        return Response(panel_csv(folder, store), media_type="text/csv")

    @app.post("/owner/preview")
    def preview(request: Any = the_request) -> Any:
        gate.owner(request)
        return JSONResponse({"path": f"s/{store.join('preview')}/"})

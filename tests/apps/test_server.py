"""The server, request by request."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest

from lomit.apps.study.definition import StudyFolder, Texts, read_folder
from lomit.apps.study.server import MOST_BODY
from lomit.apps.study.store import AnswerStore
from lomit.apps.web import HEADERS
from lomit.errors import LomitError
from support.studies import answer, small_blocks, small_study

pytest.importorskip("fastapi")
testclient = pytest.importorskip("starlette.testclient")

HOSTILE = "<script>alert(1)</script>\"'&"


@dataclass
class Site:
    folder: StudyFolder
    owner: str
    store: AnswerStore
    client: Any

    def join(self, query: str = "") -> str:
        reply = self.client.post(f"/join/{self.folder.access.join}{query}", follow_redirects=False)
        assert reply.status_code == 303
        return reply.headers["location"].removeprefix("..")

    def trials(self, path: str) -> dict[str, Any]:
        return self.client.get(f"{path}trials").json()

    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.owner}"}


def opened(folder: StudyFolder, owner: str, **limits: float) -> Site:
    from lomit.apps.study.server import create_app

    store = AnswerStore(folder)
    return Site(folder, owner, store, testclient.TestClient(create_app(folder, store, **limits)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder, owner = small_study(tmp_path_factory.mktemp("built") / "study", external_id="PANEL_ID")
    return folder.path, owner


@pytest.fixture
def site(built: tuple[Path, str], tmp_path: Path) -> Iterator[Site]:
    path = Path(shutil.copytree(built[0], tmp_path / "study"))
    made = opened(read_folder(path), built[1])
    yield made
    made.store.close()


def pages(site: Site) -> list[str]:
    """Every kind of address."""
    path, invited = site.join(), f"/s/{site.store.invite()}/"
    return [
        "/", "/health", f"/join/{site.folder.access.join}", path, f"{path}trials", f"{path}0/left", invited, "/owner",
        "/owner/results", "/static/study.js", "/nowhere", "/s/wrong/", "/join/wrong",
    ]  # fmt: skip


def test_every_response_has_the_headers(site: Site) -> None:
    for page in pages(site):
        headers = site.client.get(page).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
        assert "set-cookie" not in headers
    assert (
        site.client.post("/owner/results", content=b"x" * (MOST_BODY + 1)).headers["referrer-policy"] == "no-referrer"
    )


def test_personal_pages_are_not_kept_and_pictures_are(site: Site) -> None:
    path = site.join()
    for page in (path, f"{path}trials", "/owner", f"/join/{site.folder.access.join}"):
        assert site.client.get(page).headers["cache-control"] == "no-store"
    assert site.client.get(f"{path}0/left").headers["cache-control"].startswith("private, max-age=")


def test_pages_name_no_other_host_and_hold_no_script(site: Site) -> None:
    for page in pages(site):
        reply = site.client.get(page)
        if "html" in reply.headers["content-type"]:
            assert not re.search(r"https?://|//[a-z]", reply.text)
            assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", reply.text)
            for target in re.findall(r'(?:src|href|action)="([^"]*)"', reply.text):
                # As a browser resolves it where a proxy strips a path before the study.
                below = urljoin(f"http://host/lab/study{page}", target)
                assert below.startswith("http://host/lab/study/"), f"{page}: {target}"
                if "/static/" in below:
                    assert site.client.get(below.removeprefix("http://host/lab/study")).status_code == 200


def test_a_whole_study(site: Site) -> None:
    path = site.join()
    assert path.startswith("/s/")
    page = site.client.get(path).text
    assert "Preview" not in page
    trials = site.trials(path)
    count = len(trials["trials"])
    assert count == len(site.folder.key.lists[0])
    for position, trial in enumerate(trials["trials"]):
        for place in ("left", "right", *trial["context"]):
            reply = site.client.get(f"{path}{position}/{place}")
            assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
        reply = site.client.post(f"{path}answers", json={"answers": [answer(position, "right")]})
        assert reply.json()["answered"] == list(range(position + 1))
    assert site.trials(path)["answered"] == list(range(count))
    assert [p.state for p in site.store.participants("person")] == ["finished"]


def test_what_is_sent_tells_nothing_of_the_key(site: Site) -> None:
    path = site.join()
    sent = site.client.get(f"{path}trials").text + site.client.get(path).text
    sent += "".join(str(site.client.get(f"{path}{k}/left").headers) for k in range(5))
    words = {*site.folder.study.models, "spoilt", "check", *site.folder.key.files.values(), "realism", "model"}
    assert not {word for word in words if word in sent}
    # No trial has more, or other, facts than another of its part, so that nothing points to attention checks.
    told = site.trials(path)["trials"]
    assert {tuple(t) for t in told} == {("question", "part", "practice", "context")}
    assert sum(t["practice"] for t in told) == 3


def test_what_position_shows_is_what_the_answer_counts(site: Site) -> None:
    """The picture that was on the side that was chosen is the one that is counted."""
    from lomit.apps.study.results import people

    path = site.join()
    shown = {}
    for position in range(len(site.trials(path)["trials"])):
        side = ("left", "right")[position % 2]
        shown[position] = site.client.get(f"{path}{position}/{side}").content
        site.client.post(f"{path}answers", json={"answers": [answer(position, side)]})
    names = {picture: site.folder.image(picture).read_bytes() for picture in site.folder.key.files}
    (person,) = people(site.folder, site.store, "person")
    from lomit.apps.study.design import alternative

    for choice in person.choices:
        (picture,) = [p for p, content in names.items() if content == shown[choice.answer.position]]
        assert alternative(picture) == choice.chosen


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"answers": []}, {"answers": {}}, {"answers": [{}]}, {"answers": [None]},
        {"answers": [answer(99)]}, {"answers": [answer(-1)]}, {"answers": [answer(0, "middle")]},
        {"answers": [answer(0, rt=-1)]}, {"answers": [answer(0, rt=1e12)]},
        {"answers": [{**answer(0), "position": True}]}, {"answers": [{**answer(0), "position": "0"}]},
        {"answers": [{**answer(0), "position": 0.0}]}, {"answers": [{**answer(0), "rt": "1"}]},
        {"answers": [{**answer(0), "means": "thought"}]}, {"answers": [{**answer(0), "away": 1}]},
        {"answers": [{**answer(0), "extra": 1}]}, {"answers": [answer(0)] * 500},
        {"answers": [answer(0), {"position": 1}]},
    ],
)  # fmt: skip
def test_anything_else_than_answers_is_refused_and_stores_nothing(site: Site, body: Any) -> None:
    path = site.join()
    assert site.client.post(f"{path}answers", json=body).status_code == 422
    assert site.trials(path)["answered"] == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 30_000, b'{"answers": [{"position": NaN}]}', b'{"answers": 1e999}']
)
def test_broken_json_is_refused(site: Site, content: bytes) -> None:
    path = site.join()
    reply = site.client.post(f"{path}answers", content=content, headers={"content-type": "application/json"})
    assert reply.status_code in (400, 422)
    assert site.trials(path)["answered"] == []


def test_infinite_times_are_refused(site: Site) -> None:
    path = site.join()
    entry = json.dumps(answer(0)).replace("812.5", "Infinity")
    reply = site.client.post(
        f"{path}answers", content=f'{{"answers": [{entry}]}}', headers={"content-type": "application/json"}
    )
    assert reply.status_code == 422


@pytest.mark.parametrize("path", ["trials", "answers", "0/left"])
def test_what_can_not_be_done_is_a_page_with_all_headers(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full, then something is broken that nobody thought of: no word of it reaches a participant."""
    link = site.join()
    client = testclient.TestClient(site.client.app, raise_server_exceptions=False)
    for error, status in ((LomitError("/secret/place: disk is full"), 503), (RuntimeError("/secret/place"), 500)):

        def fails(*_: object, error: Exception = error) -> None:
            raise error

        for name in ("answered", "add", "find"):
            monkeypatch.setattr(AnswerStore, name, fails)
        body = {"answers": [answer(0)]}
        reply = client.post(f"{link}{path}", json=body) if path == "answers" else client.get(f"{link}{path}")
        assert reply.status_code == status
        assert "secret" not in reply.text
        for name, value in HEADERS.items():
            assert reply.headers[name] == value
    assert capsys.readouterr().err.count("lomit: error: /secret/place: disk is full") == 1


def test_misshapen_addresses_get_a_page(site: Site) -> None:
    reply = site.client.get(f"{site.join()}left/left")
    assert reply.status_code == 422
    assert reply.headers["content-type"].startswith("text/html")


def test_large_bodies_are_refused_declared_or_not(site: Site) -> None:
    path = site.join()
    assert site.client.post(f"{path}answers", content=b" " * (MOST_BODY + 1)).status_code == 413
    assert site.client.post(f"{path}answers", content=(b" " * 1024 for _ in range(100))).status_code == 413


def test_pictures_are_a_participants_own(site: Site) -> None:
    path = site.join()
    count = len(site.trials(path)["trials"])
    for wrong in (f"{count}/left", "-1/left", "0/input", "0/middle", "x/left", "0/%2e%2e", "0/left/x"):
        assert site.client.get(f"{path}{wrong}").status_code in (404, 422), wrong
    for name in site.folder.key.files.values():
        assert site.client.get(f"/images/{name}.png").status_code == 404
        break
    for file in ("key.json", "access.json", "study.json", "answers.sqlite", "../key.json", "%2e%2e/key.json"):
        assert site.client.get(f"/{file}").status_code == 404
        assert site.client.get(f"/static/{file}").status_code == 404


def test_a_link_without_its_last_slash_leads_on_below_any_path(site: Site) -> None:
    path = site.join()
    reply = site.client.get(path.rstrip("/"), follow_redirects=False)
    assert reply.status_code == 307
    assert urljoin(f"https://lab.example/study{path.rstrip('/')}", reply.headers["location"]) == (
        f"https://lab.example/study{path}"
    )
    for odd in ("javascript:alert(1)", "https:%2f%2fattacker.example", "%2f%2fattacker.example"):
        reply = site.client.get(f"/s/{odd}", follow_redirects=False)
        assert urljoin("https://lab.example/s/x", reply.headers.get("location", "")).startswith("https://lab.example/")


def test_a_slash_too_many_leads_back_below_any_path_and_loses_nothing(site: Site) -> None:
    for path, query in ((f"/join/{site.folder.access.join}", "?PANEL_ID=anna&STUDY=a%20b"), ("/owner", "")):
        reply = site.client.get(f"{path}/{query}", follow_redirects=False)
        assert reply.status_code == 307
        assert urljoin(f"https://lab.example/study{path}/{query}", reply.headers["location"]) == (
            f"https://lab.example/study{path}{query}"
        )


def test_links_that_do_not_exist_get_nothing(site: Site) -> None:
    real = site.join()
    for wrong in ("/s/x/", real[:-2] + "/", "/s/%00/", "/s/%ff%fe/", "/s/" + "a" * 5000 + "/"):
        assert site.client.get(wrong).status_code == 404
        assert site.client.post(f"{wrong}answers", json={"answers": [answer(0)]}).status_code == 404
        assert site.client.post(f"{wrong}withdraw").status_code == 404
    assert site.client.post("/join/wrong").status_code == 404
    assert len(site.store.participants("person")) == 1


def test_an_invited_participant_consents_first(site: Site) -> None:
    path = f"/s/{site.store.invite()}/"
    assert "I agree" in site.client.get(path).text
    assert site.client.get(f"{path}trials").status_code == 403
    assert site.client.get(f"{path}0/left").status_code == 403
    assert site.client.post(f"{path}answers", json={"answers": [answer(0)]}).status_code == 403
    assert site.client.post(path, follow_redirects=True).status_code == 200
    assert site.client.post(f"{path}answers", json={"answers": [answer(0)]}).json()["answered"] == [0]


def test_who_withdraws_leaves_nothing(site: Site) -> None:
    path = site.join("?PANEL_ID=anna")
    site.client.post(f"{path}answers", json={"answers": [answer(0), answer(1)]})
    assert "Withdrawn" in site.client.post(f"{path}withdraw").text
    assert site.store.answers("person") == {}
    assert site.client.post(f"{path}answers", json={"answers": [answer(2)]}).status_code == 410
    assert site.client.get(f"{path}0/left").status_code == 410
    assert site.store.answers("person") == {}


def agreed(site: Site, query: str = "") -> str:
    """Where the consent page's own form leads, as a browser sends it."""
    address = f"/join/{site.folder.access.join}{query}"
    (action,) = re.findall(r'<form method="post" action="([^"]*)"', site.client.get(address).text)
    return urljoin(address, html.unescape(action))


def pressed(site: Site, form: str) -> str:
    reply = site.client.post(form, follow_redirects=False)
    assert reply.status_code == 303
    return urljoin(form, reply.headers["location"])


def test_two_clicks_are_one_participant(site: Site) -> None:
    """Also where the reply to the first one is lost; another page, in another window, is another one's."""
    form = agreed(site)
    first = pressed(site, form)
    site.client.post(f"{first}answers", json={"answers": [answer(0)]})
    assert pressed(site, form) == first
    assert site.trials(first)["answered"] == [0]
    assert [p.list for p in site.store.participants("person")] == [0]
    assert pressed(site, agreed(site)) != first
    assert [p.list for p in site.store.participants("person")] == [0, 1]


def test_a_panels_participant_goes_on_wherever_the_link_is_opened(site: Site) -> None:
    first = pressed(site, agreed(site, "?PANEL_ID=anna&STUDY=7"))
    site.client.post(f"{first}answers", json={"answers": [answer(0), answer(1)]})
    second = pressed(site, agreed(site, "?PANEL_ID=anna"))
    assert second != first
    assert site.trials(second)["answered"] == [0, 1]
    site.client.post(f"{second}answers", json={"answers": [answer(2)]})
    assert site.trials(first)["answered"] == [0, 1, 2]
    assert len(site.store.participants("person")) == 1
    pressed(site, agreed(site, "?PANEL_ID=berta"))
    assert len(site.store.participants("person")) == 2


@pytest.mark.parametrize(
    "name", [HOSTILE, "{{%PROLIFIC_PID%}}", "%PID%", "a" * 101, "a b", "=1+1", "-1", "a\n", "\u202ea", "a%00"]
)
def test_what_is_no_name_is_refused_before_consent(site: Site, name: str) -> None:
    """Cut or unfilled, it would be the same for several people, who would share one session."""
    address = f"/join/{site.folder.access.join}?{urlencode({'PANEL_ID': name})}"
    for reply in (site.client.get(address), site.client.post(address, follow_redirects=False)):
        assert reply.status_code == 404
        assert "<script>alert" not in reply.text
    assert site.store.participants("person") == []


@pytest.mark.parametrize("link", ["", "short", "a" * 44, "a" * 42 + "/", "a" * 42 + "\u00e9", "../" * 15])
def test_links_of_another_kind_are_not_taken(site: Site, link: str) -> None:
    """A page of before, or somebody's own request: a link is made for it."""
    made = pressed(site, f"/join/{site.folder.access.join}?{urlencode({'link': link})}")
    assert re.fullmatch(r"/s/[\w-]{43}/", made)


def test_the_end_is_told_after_the_last_answer(tmp_path: Path) -> None:
    """Link and thanks may hold the code for which a panel pays."""
    folder, owner = small_study(tmp_path / "study")
    texts = Texts(thanks="CODE-4711", completion_url="https://panel.example/CODE-4711")
    site = opened(replace(folder, study=replace(folder.study, texts=texts)), owner)
    path = site.join()
    count = len(site.trials(path)["trials"])
    for position in range(count - 1):
        reply = site.client.post(f"{path}answers", json={"answers": [answer(position)]})
        assert reply.json()["end"] is None
    assert "4711" not in site.client.get(f"{path}trials").text + site.client.get(path).text
    end = {"thanks": "CODE-4711", "completion_url": "https://panel.example/CODE-4711"}
    assert site.client.post(f"{path}answers", json={"answers": [answer(count - 1)]}).json()["end"] == end
    assert site.trials(path)["end"] == end
    site.store.close()


def test_a_panels_names_are_in_a_file_of_their_own(site: Site) -> None:
    paths = [pressed(site, agreed(site, f"?PANEL_ID={name}")) for name in ("zoe", "anna", "berta")]
    site.join()  # without a name
    count = len(site.trials(paths[0])["trials"])
    for position in range(count):
        site.client.post(f"{paths[0]}answers", json={"answers": [answer(position)]})
    site.client.post(f"{paths[1]}answers", json={"answers": [answer(0)]})
    site.client.post(f"{paths[2]}withdraw")
    assert site.client.get("/owner/panel.csv").status_code == 401
    table = site.client.get("/owner/panel.csv", headers=site.bearer()).text
    header, *rows = [line.split(",") for line in table.splitlines()]
    assert header == ["PANEL_ID", "finished", "answered", "questions", "attentive"]
    assert [row[:4] for row in rows] == [["anna", "0", "1", str(count)], ["zoe", "1", str(count), str(count)]]
    assert "zoe" not in site.client.get("/owner/answers.csv", headers=site.bearer()).text
    assert "panel" in site.client.get("/owner").text


def test_a_study_without_a_panel_has_no_names(tmp_path: Path) -> None:
    site = opened(*small_study(tmp_path / "study"))
    assert site.client.get("/owner/panel.csv", headers=site.bearer()).status_code == 404
    assert 'id="panel"' not in site.client.get("/owner").text
    site.store.close()


def test_ipv4_strangers_are_not_counted_with_others_that_come_over_ipv6(tmp_path: Path) -> None:
    site = opened(*small_study(tmp_path / "study"), joins=0.001)

    def status(address: str, path: str = "/s/guess/") -> int:
        return testclient.TestClient(site.client.app, client=(address, 50_000)).get(path).status_code

    assert {status("::ffff:192.0.2.1") for _ in range(300)} == {404}
    assert status("::ffff:192.0.2.1") == status("192.0.2.1") == 429
    assert status("::ffff:192.0.2.2") == status("192.0.2.3") == 404
    site.store.close()


def test_names_are_stored_only_where_the_study_says_so(tmp_path: Path) -> None:
    site = opened(*small_study(tmp_path / "plain"))
    site.join("?PANEL_ID=anna")
    site.join("?PANEL_ID=anna")
    assert "No name, no address" in site.client.get(f"/join/{site.folder.access.join}").text
    site.store.close()
    assert b"anna" not in site.store.path.read_bytes()


def test_texts_are_escaped(tmp_path: Path) -> None:
    folder, owner = small_study(tmp_path / "study")
    texts = Texts(title=HOSTILE, consent=(HOSTILE, "{minutes} minutes, {questions} questions"), contact=HOSTILE)
    site = opened(replace(folder, study=replace(folder.study, texts=texts)), owner)
    page = site.client.get(f"/join/{folder.access.join}").text
    assert "<script>alert" not in page
    count = len(folder.key.lists[0])
    assert f"{max(1, round(count / 10))} minutes, {count} questions" in page
    site.store.close()


def test_results_need_the_owners_token(site: Site) -> None:
    participant = site.join().split("/")[2]
    for token in ("", "Bearer", "Bearer wrong", f"Basic {site.owner}", site.owner, f"Bearer {site.folder.access.owner}",
                  f"Bearer {participant}", f"Bearer {site.folder.access.join}"):  # fmt: skip
        for method, page in (("GET", "results"), ("GET", "answers.csv"), ("POST", "preview")):
            reply = site.client.request(method, f"/owner/{page}", headers={"authorization": token} if token else {})
            assert reply.status_code in (401, 429), (token, page)
            assert "ours" not in reply.text
    assert site.client.get("/owner/results", headers=site.bearer()).status_code == 200
    assert not any(model in site.client.get("/owner").text for model in site.folder.study.models)
    assert site.owner not in "".join(path.read_text() for path in site.folder.path.glob("*.json"))


def test_the_owner_sees_counts_and_rows(site: Site) -> None:
    path = site.join()
    for position in range(len(site.trials(path)["trials"])):
        site.client.post(f"{path}answers", json={"answers": [answer(position)]})
    tables = site.client.get("/owner/results", headers=site.bearer()).json()["tables"]
    assert ["list 1", "1 finished, 0 at it"] in tables[0]["rows"]
    csv = site.client.get("/owner/answers.csv", headers=site.bearer()).text
    assert len(csv.splitlines()) == 1 + len(site.folder.key.lists[0])
    assert path.split("/")[2] not in csv


def test_the_owners_look_is_never_counted(site: Site) -> None:
    path = "/" + site.client.post("/owner/preview", headers=site.bearer()).json()["path"]
    assert "not counted" in site.client.get(path).text
    assert site.client.post(f"{path}answers", json={"answers": [answer(0)]}).json()["answered"] == [0]
    assert site.store.answers("person") == {}
    assert len(site.client.get("/owner/answers.csv", headers=site.bearer()).text.splitlines()) == 1


def test_rates_are_limited_per_participant_and_per_stranger(tmp_path: Path) -> None:
    site = opened(*small_study(tmp_path / "study"), rate=0.001, joins=0.001)
    eager, calm = site.join(), site.join()
    codes = [site.client.get(f"{eager}trials").status_code for _ in range(410)]
    assert codes[:399] == [200] * 399
    assert codes[-1] == 429
    refused = site.client.get(f"{eager}trials")
    assert int(refused.headers["retry-after"]) > 0
    assert site.client.get(f"{calm}trials").status_code == 200
    codes = [site.client.get(f"/s/guess{k}/").status_code for k in range(310)]
    assert codes[0] == 404
    assert codes[-1] == 429
    # Who takes part already goes on.
    assert site.client.get(f"{calm}trials").status_code == 200
    codes = [site.client.get("/owner/results").status_code for _ in range(25)]
    assert (codes[0], codes[-1]) == (401, 429)
    assert site.client.get("/owner/results", headers=site.bearer()).status_code == 200
    site.store.close()


def test_all_pictures_of_a_large_study_may_be_fetched_at_once(tmp_path: Path) -> None:
    folder, owner = small_study(tmp_path / "study", lists=2, blocks=small_blocks(trials=18))
    site = opened(folder, owner, rate=0.001)
    path = site.join()
    told = site.trials(path)["trials"]
    places = [(k, place) for k, trial in enumerate(told) for place in ("left", "right", *trial["context"])]
    assert len(places) > 400
    assert {site.client.get(f"{path}{k}/{place}").status_code for k, place in places} == {200}
    site.store.close()


def test_strangers_of_one_ipv6_network_share_a_rate(tmp_path: Path) -> None:
    site = opened(*small_study(tmp_path / "study"), joins=0.001)

    def status(address: str) -> int:
        client = testclient.TestClient(site.client.app, client=(address, 50_000))
        return client.post(f"/join/{site.folder.access.join}", follow_redirects=False).status_code

    assert {status(f"2001:db8:0:1::{k:x}") for k in range(1, 301)} == {303}
    assert status("2001:db8:0:1:ffff::1") == 429
    assert status("2001:db8:0:2::1") == status("192.0.2.1") == status("192.0.2.2") == 303
    site.store.close()

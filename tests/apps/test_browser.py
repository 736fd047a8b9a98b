"""The study in a real browser: by mouse, by keyboard and by finger, reloaded, and without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lomit.apps.study.definition import read_folder
from lomit.apps.study.design import Trial, alternative
from lomit.apps.study.results import people
from lomit.apps.study.simulate import preference
from lomit.apps.study.store import AnswerStore
from lomit.apps.study.trials import order_of
from support.studies import Server, served, small_blocks, small_study, wait_until

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")
pytestmark = pytest.mark.browser

TWO_FRAMES = "new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(d, 50))))"
SLOW = 240_000
"""Milliseconds to wait for anything on a page; the machine may be busy."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, str]]:
    folder, owner = small_study(
        tmp_path_factory.mktemp("browser") / "study", lists=2, blocks=small_blocks(trials=1, practice=0)
    )
    with served(folder.path) as server:
        yield server, folder.path, owner


class Visitor:
    """A page, and everything that went wrong on it."""

    def __init__(self, browser: Any, server: Server, width: int = 1000, touch: bool = False, height: int = 700) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch)
        self.context.set_default_timeout(SLOW)
        self.page = self.context.new_page()
        self.server = server
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.server.base + "/"):
            self.problems.append(f"asked {request.url}")

    def join(self) -> None:
        self.page.goto(self.server.base + self.server.join)
        self.page.click("text=I agree and take part")
        self.page.wait_for_selector("#study button.go")

    def wait_for(self, position: int | None, told: list[str] | None = None) -> str:
        """Clicks through texts until the question of this number (from 0) is shown, or `Done`; returns the question.

        The texts are added to `told`.
        """
        while True:
            self.page.wait_for_selector("#study .choices, #study button.go, h1:has-text('Done')")
            if self.page.locator("h1:has-text('Done')").count():
                assert position is None
                return ""
            if self.page.locator("#study button.go").count():
                if told is not None:
                    told.append(self.page.inner_text("#study"))
                self.page.click("#study button.go")
                continue
            assert position is not None
            self.page.wait_for_selector(f"text=Question {position + 1} of")
            # Two frames later answers are taken.
            self.page.evaluate(TWO_FRAMES)
            return self.page.inner_text(".question")

    def fits(self) -> bool:
        """Nothing hangs over the side of the page."""
        return self.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def person_of(path: Path, page: Any):
    """What is stored of who has this page open."""
    folder = read_folder(path)
    store = AnswerStore(folder)
    who = store.find(page.url.rstrip("/").rpartition("/")[2])
    assert who is not None
    answers = store.answers(who.sort).get(who.id, [])
    store.close()
    return folder, who, answers


def test_by_mouse_keyboard_and_finger(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, path, _ = site
    for touch in (False, True):
        visitor = Visitor(browser, server, 360 if touch else 1000, touch)
        page = visitor.page
        visitor.join()
        folder, who, _ = person_of(path, page)
        sequence = order_of(folder, who)
        trials = folder.key.lists[who.list or 0]
        wanted = []
        for position, number in enumerate(sequence):
            assert visitor.wait_for(position) == folder.study.block(trials[number].block).question
            assert visitor.fits()
            shown = page.locator("#study img").evaluate_all("all => all.map((i) => i.complete && i.naturalWidth > 0)")
            assert shown == [True] * (2 + len(trials[number].context))
            side = ("right", "left", "left")[position % 3]
            wanted.append(side)
            button = page.locator(f".choices button[data-side={side}]")
            if touch:
                button.tap()
            elif position % 4 == 0:
                page.keyboard.press("ArrowLeft" if side == "left" else "ArrowRight")
            elif position % 4 == 1:
                page.keyboard.press("f" if side == "left" else "j")
            elif position % 4 == 2:
                button.focus()
                page.keyboard.press("Enter")
            else:
                button.click()
        visitor.wait_for(None)
        _, who, answers = person_of(path, page)
        assert who.state == "finished"
        assert [a.side for a in answers] == wanted
        means = ["pointer" if touch or k % 4 == 3 else "key" for k in range(len(sequence))]
        assert [a.means for a in answers] == means
        assert all(30 < a.rt < SLOW and not a.away for a in answers)
        assert visitor.problems == []
        visitor.context.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (667, 375), (1366, 600)])
def test_all_that_is_compared_is_on_the_screen(browser: Any, tmp_path: Path, width: int, height: int) -> None:
    """A phone upright and on its side, and a small laptop: nothing to scroll.  The text tells what stands above."""
    blocks = small_blocks(trials=1, checks=0, practice=0)[1:]
    blocks = (blocks[0], replace(blocks[1], context=("input",)))
    folder, _ = small_study(tmp_path / "study", lists=2, blocks=blocks)
    with served(folder.path) as server:
        visitor = Visitor(browser, server, width, True, height)
        visitor.join()
        told = []
        for position in range(len(folder.key.lists[0])):
            visitor.wait_for(position, told)
            boxes = [image.bounding_box() for image in visitor.page.locator("#study img").all()]
            assert len(boxes) == (4 if position < 2 else 3)
            for box in boxes:
                assert 0 <= box["x"] < box["x"] + box["width"] <= width
                assert 0 <= box["y"] < box["y"] + box["height"] <= height
                assert box["width"] >= 75
            visitor.page.keyboard.press("ArrowLeft")
        visitor.context.close()
    before = "With the two pictures you see the picture before the change"
    assert f"{before}, and an example of the style that it was meant to get." in told[-2]
    assert f"{before}." in told[-1]


def test_reloading_goes_on_where_it_was(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, path, _ = site
    visitor = Visitor(browser, server)
    visitor.join()
    folder, who, _ = person_of(path, visitor.page)
    count = len(order_of(folder, who))
    for position in range(count):
        visitor.wait_for(position)
        visitor.page.keyboard.press("ArrowLeft")
        if position in (0, 7):
            wait_until(lambda position=position: len(person_of(path, visitor.page)[2]) == position + 1)
            visitor.page.reload()
            visitor.page.wait_for_selector("h1:has-text('Welcome back')")
    visitor.wait_for(None)
    assert len(person_of(path, visitor.page)[2]) == count
    # Another visit changes nothing, and the join link knows nobody any more.
    visitor.page.reload()
    visitor.wait_for(None)
    visitor.page.goto(server.base + server.join)
    assert not visitor.page.locator("#back").is_visible()
    assert visitor.problems == []
    visitor.context.close()


def test_two_clicks_and_a_reply_that_is_lost_make_one_participant(browser: Any, tmp_path: Path) -> None:
    folder, _ = small_study(tmp_path / "study", lists=2, external_id="PANEL_ID")
    with served(folder.path) as server:
        visitor = Visitor(browser, server)
        lost: list[int] = []

        def once(route: Any) -> None:
            if route.request.method != "POST" or lost:
                return route.continue_()
            lost.append(route.fetch(max_redirects=0).status)
            route.abort("aborted")

        visitor.page.route("**/join/**", once)
        for query in ("", "?PANEL_ID=anna"):
            lost.clear()
            visitor.page.goto(server.base + server.join + query)
            visitor.page.click("text=I agree and take part", no_wait_after=True)
            while not lost:
                visitor.page.wait_for_timeout(50)
            visitor.page.click("text=I agree and take part")
            visitor.page.wait_for_selector("#study button.go")
        # Another window, as who has lost the first one opens it.
        other = Visitor(browser, server)
        other.page.goto(f"{server.base}{server.join}?PANEL_ID=anna")
        other.page.click("text=I agree and take part")
        other.page.wait_for_selector("#study button.go")
        store = AnswerStore(folder)
        assert [p.list for p in store.participants("person")] == [0, 1]
        assert store.find(other.page.url.split("/")[-2]) == store.find(visitor.page.url.split("/")[-2])
        store.close()
        visitor.context.close()
        other.context.close()


OLDER = """
    delete AbortSignal.timeout; delete AbortSignal.any; delete Object.hasOwn; delete Array.prototype.at;
    delete Element.prototype.replaceChildren; delete String.prototype.replaceAll; delete window.structuredClone;
"""
"""What browsers of 2020 don't have yet."""


def test_answers_arrive_from_an_older_browser(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, path, _ = site
    visitor = Visitor(browser, server)
    visitor.context.add_init_script(OLDER)
    visitor.join()
    folder, who, _ = person_of(path, visitor.page)
    count = len(order_of(folder, who))
    for position in range(count):
        visitor.wait_for(position)
        visitor.page.keyboard.press("ArrowLeft")
    visitor.wait_for(None)
    assert len(person_of(path, visitor.page)[2]) == count
    assert visitor.problems == []
    visitor.context.close()


@pytest.mark.parametrize(
    "lacks", ["AbortController", "fetch", "Object.fromEntries", "HTMLImageElement.prototype.decode"]
)
def test_a_browser_that_is_too_old_is_told_before_consent(
    browser: Any, site: tuple[Server, Path, str], lacks: str
) -> None:
    server, _, _ = site
    visitor = Visitor(browser, server)
    visitor.context.add_init_script(f"delete {lacks if '.' in lacks else 'window.' + lacks};")
    visitor.page.goto(server.base + server.join)
    visitor.page.wait_for_selector("text=This browser is too old for the study")
    assert not visitor.page.locator("text=I agree and take part").is_visible()
    visitor.context.close()


@pytest.mark.parametrize("kept", ["null", "7", "{}", "[null]", '[{"position": "x"}]', "{"])
def test_what_else_lies_in_the_browsers_storage_does_no_harm(
    browser: Any, site: tuple[Server, Path, str], kept: str
) -> None:
    server, path, _ = site
    visitor = Visitor(browser, server)
    visitor.join()
    visitor.page.evaluate("(kept) => localStorage.setItem(`lomit-study:${location.pathname}`, kept)", kept)
    visitor.page.reload()
    visitor.wait_for(0)
    visitor.page.keyboard.press("ArrowLeft")
    wait_until(lambda: len(person_of(path, visitor.page)[2]) == 1)
    assert visitor.problems == []
    visitor.context.close()


def test_the_join_link_shows_the_way_back(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, _, _ = site
    visitor = Visitor(browser, server)
    visitor.join()
    mine = visitor.page.url
    visitor.page.goto(server.base + server.join)
    visitor.page.click("#back a")
    visitor.page.wait_for_selector("#study button.go")
    assert visitor.page.url == mine
    visitor.context.close()


def test_answers_given_without_a_network_arrive(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, path, _ = site
    visitor = Visitor(browser, server)
    visitor.join()
    folder, who, _ = person_of(path, visitor.page)
    count = len(order_of(folder, who))
    for position in range(count):
        visitor.wait_for(position)
        if position == 2:
            visitor.context.set_offline(True)
        visitor.page.keyboard.press("ArrowRight")
        if position == 6:
            visitor.page.wait_for_selector("text=No connection. Go on")
            assert len(person_of(path, visitor.page)[2]) == 2
            # The page is closed before the network is back: the browser keeps what was answered.
            visitor.page.route("**/answers", lambda route: route.abort())
            visitor.context.set_offline(False)
            visitor.page.reload()
            visitor.page.wait_for_selector("h1:has-text('Welcome back')")
            assert len(person_of(path, visitor.page)[2]) == 2
            visitor.page.unroute("**/answers")
    visitor.wait_for(None)
    answers = person_of(path, visitor.page)[2]
    assert [a.position for a in answers] == list(range(count))
    assert {a.side for a in answers} == {"right"}
    visitor.context.close()


def test_an_answer_after_days_arrives_like_any_other(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, path, _ = site
    visitor = Visitor(browser, server)
    visitor.page.clock.install()
    visitor.join()
    visitor.wait_for(0)
    visitor.page.clock.fast_forward("49:00:00")
    visitor.page.keyboard.press("ArrowLeft")
    wait_until(lambda: len(person_of(path, visitor.page)[2]) == 1)
    (answer,) = person_of(path, visitor.page)[2]
    assert answer.rt == 24 * 3600 * 1000
    visitor.context.close()


def test_withdrawing_by_the_button(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, path, _ = site
    visitor = Visitor(browser, server)
    visitor.join()
    visitor.wait_for(0)
    visitor.page.keyboard.press("ArrowLeft")
    wait_until(lambda: len(person_of(path, visitor.page)[2]) == 1)
    visitor.page.once("dialog", lambda dialog: dialog.dismiss())
    visitor.page.click("text=Withdraw and delete my answers")
    assert len(person_of(path, visitor.page)[2]) == 1
    visitor.page.once("dialog", lambda dialog: dialog.accept())
    visitor.page.click("text=Withdraw and delete my answers")
    visitor.page.wait_for_selector("h1:has-text('Withdrawn')")
    assert person_of(path, visitor.page)[2] == []
    visitor.context.close()


def test_the_owners_page(browser: Any, site: tuple[Server, Path, str]) -> None:
    server, _, owner = site
    visitor = Visitor(browser, server)
    page = visitor.page
    page.goto(server.base + "/owner")
    page.fill("#token", "wrong")
    page.click("text=Show")
    page.wait_for_selector("text=This is not the owner's token.")
    page.fill("#token", owner)
    page.click("text=Show")
    page.wait_for_selector("caption:has-text('Answers so far')")
    with page.expect_download() as download:
        page.click("text=Save answers as CSV")
    assert Path(download.value.path()).read_text().startswith("participant,simulated,")
    page.click("text=Look at the study as a participant")
    page.wait_for_selector("text=Preview for the study's owner")
    assert owner not in page.url
    visitor.context.close()


def recovered(browser: Any, path: Path, participants: int, trials: int) -> None:
    """Simulated participants click through a whole study; their preferences are found again."""
    import numpy as np

    from lomit.apps.study.analysis import analyse

    strengths = {"real": 1.5, "ours": 1.0}
    folder, _ = small_study(path, models=("ours", "DRIT"), blocks=small_blocks(("ours", "DRIT"), trials, 1, 1), lists=2)
    rng = np.random.default_rng(0)
    with served(folder.path) as server:
        for _ in range(participants):
            visitor = Visitor(browser, server)
            visitor.join()
            _, who, _ = person_of(folder.path, visitor.page)
            for position, number in enumerate(order_of(folder, who)):
                visitor.wait_for(position)
                trial: Trial = folder.key.lists[who.list or 0][number]
                p = preference(strengths, alternative(trial.left), alternative(trial.right))
                visitor.page.keyboard.press("ArrowLeft" if rng.random() < p else "ArrowRight")
            visitor.wait_for(None)
            assert visitor.problems == []
            visitor.context.close()
    store = AnswerStore(folder)
    assert [p.finished for p in people(folder, store, "person")] == [True] * participants
    result = analyse(folder, store, "person")
    store.close()
    assert len(result.included) == participants
    for share in result.shares:
        true = preference(strengths, share.question.first, share.question.second)
        assert share.asked == participants * trials
        low, high = share.wilson
        print(f"{share.question.first} over {share.question.second}: true {true:.3f}, found {low:.3f} to {high:.3f}")
        assert low <= true <= high


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_known_preferences_are_recovered_through_the_browser(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("choix")
    recovered(browser, tmp_path / "study", participants=8, trials=10)

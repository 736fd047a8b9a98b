"""A server of its own process: killed at any moment, and with many participants at once."""

from __future__ import annotations

import http.client
import random
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lomit.apps.study.definition import ANSWERS
from lomit.apps.web import hashed
from support import fuzz
from support.studies import Client, Server, answer, free_port, odd_requests, served, small_blocks, small_study

pytest.importorskip("fastapi")
FAILURES = (OSError, http.client.HTTPException)


class Crowd:
    """Participants who answer until they are told to stop, and note what the server has acknowledged."""

    def __init__(self, port: int, join: str, trials: int, members: int) -> None:
        self.port, self.join, self.trials = port, join, trials
        self.acknowledged: dict[tuple[str, int], str] = {}
        self.sent = self.failed = 0
        self.over = threading.Event()
        self.problems: list[str] = []
        self.threads = [threading.Thread(target=self._work, args=(k,)) for k in range(members)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def _ask(self, client: Client, *request: object) -> tuple[int, dict[str, str], bytes] | None:
        """The reply; None where the server is gone."""
        try:
            self.sent += 1
            return client.ask(*request)  # type: ignore[arg-type]
        except FAILURES:
            self.failed += 1
            time.sleep(0.02)
            return None

    def _work(self, seed: int) -> None:
        rng, client = random.Random(seed), Client(self.port, timeout=5)
        while not self.over.is_set():
            reply = self._ask(client, "POST", self.join)
            if reply is None:
                continue
            path = reply[1]["location"].removeprefix("..")
            for position in range(self.trials):
                side = rng.choice(("left", "right"))
                while not self.over.is_set():
                    # What got no reply is sent again, as the page does, and may have been stored.
                    reply = self._ask(client, "POST", f"{path}answers", {"answers": [answer(position, side)]})
                    if reply is None:
                        continue
                    if reply[0] != 200 or f"{position}" not in reply[2].decode():
                        self.problems.append(f"{reply[0]} {reply[2][:80]!r}")
                    self.acknowledged[path, position] = side
                    break
        client.http.close()


def stored(folder: Path) -> dict[tuple[str, int], str]:
    """(hash of the link, position) -> side, read from the file as it lies there."""
    with closing(sqlite3.connect(folder / ANSWERS)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = db.execute(
            "SELECT token, position, side FROM answer JOIN participant ON participant.id = answer.participant"
        ).fetchall()
    assert len({row[:2] for row in rows}) == len(rows)
    return {(token, position): side for token, position, side in rows}


def missing(folder: Path, crowd: Crowd) -> int:
    """How many acknowledged answers are not stored as they were sent."""
    there = stored(folder)
    return sum(
        there.get((hashed(path.split("/")[2]), position)) != side
        for (path, position), side in crowd.acknowledged.items()
    )


def killed_many_times(folder_path: Path, kills: int, members: int) -> tuple[Crowd, int]:
    """Kills and restarts the server under load; returns the crowd and how many acknowledged answers are missing."""
    folder, _ = small_study(folder_path)
    port, rng = free_port(), random.Random(1)
    server = Server(folder.path, port)
    crowd = Crowd(port, server.join, min(map(len, folder.key.lists)), members)
    try:
        for _ in range(kills):
            before = len(crowd.acknowledged)
            # At any moment, but not before something was acknowledged since the last one.
            end = time.monotonic() + 30
            while len(crowd.acknowledged) < before + 5 and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.4))
            server.kill()
            server = Server(folder.path, port)
        time.sleep(0.5)
    finally:
        crowd.stop()
        server.kill()
    return crowd, missing(folder.path, crowd)


def odd_requests_beside(folder_path: Path, seconds: float) -> tuple[Crowd, int, fuzz.Figures, str]:
    """Participants who answer while somebody sends odd requests; returns the crowd, how many acknowledged answers are
    missing, what came of the requests, and what the server printed."""
    folder, owner = small_study(folder_path, external_id="PANEL_ID")
    port, rng, figures = free_port(), random.Random(1), fuzz.Figures()
    server = Server(folder.path, port)
    asked = Client(port)
    links = [asked.take_part(server.join).split("/")[2] for _ in range(4)]
    asked.http.close()
    crowd = Crowd(port, server.join, min(map(len, folder.key.lists)), 8)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            figures.add(fuzz.send_many(port, odd_requests(rng, folder.access.join, owner, links, 20), 5))
    finally:
        crowd.stop()
        printed = server.kill()
    return crowd, missing(folder.path, crowd), figures, printed


def test_odd_requests_cost_no_participant_an_answer(tmp_path: Path) -> None:
    crowd, lost, figures, printed = odd_requests_beside(tmp_path / "study", 2)
    assert not crowd.problems
    assert len(crowd.acknowledged) > 20
    assert lost == crowd.failed == 0
    assert figures.wrong == []
    assert "Traceback" not in printed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_odd_requests_cost_no_participant_an_answer(tmp_path: Path) -> None:
    seconds = 60
    crowd, lost, figures, printed = odd_requests_beside(tmp_path / "study", seconds)
    print(
        f"\nstudy, {seconds} s: {figures}; {printed.count('Traceback')} tracebacks; 8 participants beside them: "
        f"{len(crowd.acknowledged)} acknowledged answers, {len(crowd.acknowledged) / seconds:.0f} a second, {lost} lost"
    )
    assert len(crowd.acknowledged) > 200
    assert figures.statuses.total() > 100
    assert not crowd.problems
    assert lost == crowd.failed == 0
    assert figures.wrong == []
    assert "Traceback" not in printed


def test_killed_under_load_no_acknowledged_answer_is_lost(tmp_path: Path) -> None:
    crowd, lost = killed_many_times(tmp_path / "study", kills=2, members=6)
    assert not crowd.problems
    assert crowd.failed > 0, "the kills hit nobody"
    assert len(crowd.acknowledged) > 20
    assert lost == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_many_times_no_acknowledged_answer_is_lost(tmp_path: Path) -> None:
    kills = 40
    crowd, lost = killed_many_times(tmp_path / "study", kills, members=16)
    print(
        f"\n{kills} kills, {len(crowd.acknowledged)} acknowledged answers, {crowd.failed} requests cut off, {lost} lost"
    )
    assert not crowd.problems
    assert crowd.failed >= kills
    assert lost == 0


def crowd_at_once(folder_path: Path, members: int) -> tuple[np.ndarray, int, Counter[int], int]:
    """All join at once and answer everything, each request twice; returns latencies of answers in ms, answers stored,
    participants per list and trials of a list."""
    folder, _ = small_study(folder_path, blocks=small_blocks(trials=1, practice=0))
    trials = len(folder.key.lists[0])
    latencies: list[float] = []
    problems: list[str] = []
    start = threading.Barrier(members)
    with served(folder.path) as server:
        port = int(server.base.rpartition(":")[2])

        def work() -> None:
            client = Client(port, timeout=120)
            start.wait()
            path = client.take_part(server.join)
            client.ask("GET", f"{path}trials")
            for position in range(trials):
                client.ask("GET", f"{path}{position}/left")
                for _ in range(2):
                    begun = time.perf_counter()
                    status, _, content = client.ask("POST", f"{path}answers", {"answers": [answer(position)]})
                    latencies.append(1000 * (time.perf_counter() - begun))
                    if status != 200:
                        problems.append(f"{status} {content[:80]!r}")
            client.http.close()

        threads = [threading.Thread(target=work) for _ in range(members)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(800)
            assert not thread.is_alive()
    assert not problems
    there = stored(folder.path)
    assert Counter(token for token, _ in there) == Counter({token: trials for token, _ in there})
    with closing(sqlite3.connect(folder.path / ANSWERS)) as db:
        lists = Counter(number for (number,) in db.execute("SELECT list FROM participant WHERE state = 'finished'"))
    return np.array(latencies), len(there), lists, trials


def test_twelve_at_once_every_answer_is_there_once(tmp_path: Path) -> None:
    _, count, lists, trials = crowd_at_once(tmp_path / "study", 12)
    assert count == 12 * trials
    assert lists == {0: 3, 1: 3, 2: 3, 3: 3}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_at_once_every_answer_is_there_once(tmp_path: Path) -> None:
    latencies, count, lists, trials = crowd_at_once(tmp_path / "study", 200)
    quantiles = np.quantile(latencies, [0.5, 0.95, 0.99, 1]).round().astype(int).tolist()
    print(f"\n200 participants at once, {count} answers, each sent twice; latency 50, 95, 99, 100 %: {quantiles} ms")
    assert count == 200 * trials
    assert set(lists.values()) == {50}
    assert quantiles[2] < 30_000

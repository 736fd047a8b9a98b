"""Participants and answers on disk."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lomit.apps.study import store as store_module
from lomit.apps.study.definition import ANSWERS, read_folder
from lomit.apps.study.results import people
from lomit.apps.study.store import Answer, AnswerStore
from lomit.errors import LomitError
from support.studies import small_blocks, small_study


@pytest.fixture
def store(tmp_path: Path):
    folder, _ = small_study(tmp_path / "study")
    made = AnswerStore(folder)
    yield made
    made.close()


def joined(store: AnswerStore):
    secret = store.join()
    who = store.find(secret)
    assert who is not None
    return secret, who


def answer(trial: int, side: str = "left", rt: float = 500.0) -> Answer:
    return Answer(trial, trial, side, rt, "key", False)  # type: ignore[arg-type]


def test_what_is_acknowledged_is_synced(store: AnswerStore) -> None:
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_an_answer_is_stored_once_however_often_it_comes(store: AnswerStore) -> None:
    _, who = joined(store)
    for side in ("left", "right", "left"):
        assert store.add(who.id, [answer(0, side), answer(1)])
    (answers,) = store.answers("person").values()
    assert [(a.trial, a.side) for a in answers] == [(0, "left"), (1, "left")]
    assert store.answered(who.id) == [0, 1]


def test_the_last_answer_finishes(store: AnswerStore) -> None:
    secret, who = joined(store)
    count = store.trials[who.list or 0]
    store.add(who.id, [answer(k) for k in range(count - 1)])
    assert store.find(secret).state == "active"  # type: ignore[union-attr]
    store.add(who.id, [answer(count - 1)])
    assert store.find(secret).state == "finished"  # type: ignore[union-attr]


def test_links_are_kept_as_hashes_and_unguessable(store: AnswerStore) -> None:
    secrets = [joined(store)[0] for _ in range(50)] + [store.invite() for _ in range(50)]
    assert len(set(secrets)) == 100
    assert min(map(len, secrets)) >= 43
    content = b"".join(path.read_bytes() for path in store.path.parent.glob(ANSWERS + "*"))
    assert not any(secret.encode() in content for secret in secrets)
    assert store.find(secrets[0][:-1]) is None
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_an_invitation_becomes_a_participant_by_consent(store: AnswerStore) -> None:
    secret = store.invite()
    who = store.find(secret)
    assert who is not None
    assert (who.state, who.list) == ("invited", None)
    assert not store.add(who.id, [answer(0)])
    store.consent(who.id)
    first = store.find(secret)
    store.consent(who.id)
    assert store.find(secret) == first
    assert first is not None
    assert (first.state, first.list) == ("active", 0)


def test_withdrawing_deletes_in_the_file_too(store: AnswerStore) -> None:
    secret = store.join(external="PANEL-NAME-4711")
    who = store.find(secret)
    assert who is not None
    store.add(who.id, [answer(0, rt=77777.25)])
    store.withdraw(who.id)
    assert store.answers("person") == {}
    assert store.find(secret).state == "withdrawn"  # type: ignore[union-attr]
    assert not store.add(who.id, [answer(1)])
    content = b"".join(path.read_bytes() for path in store.path.parent.glob(ANSWERS + "*"))
    assert b"PANEL-NAME-4711" not in content
    # The name is free again, the list is, too.
    assert store.find(store.join(external="PANEL-NAME-4711")) != store.find(secret)


def test_joining_again_leads_to_the_same_participant(store: AnswerStore) -> None:
    links = [store.join(external="anna") for _ in range(3)]
    assert len({*links}) == 3
    assert len({store.find(link).id for link in links}) == 1  # type: ignore[union-attr]
    assert store.find(store.join(external="berta")) != store.find(links[0])
    made = store.join()
    assert store.join(made=made) == made  # the same page, sent twice
    assert store.join(external="anna", made=links[1]) == links[1]
    assert [p.list for p in store.participants("person")] == [0, 1, 2]
    store.add(store.find(links[2]).id, [answer(0)])  # type: ignore[union-attr]
    assert store.answered(store.find(links[0]).id) == [0]  # type: ignore[union-attr]
    assert {name: who.id for name, who in store.named().items()} == {"anna": 1, "berta": 2}
    content = b"".join(path.read_bytes() for path in store.path.parent.glob(ANSWERS + "*"))
    assert not any(link.encode() in content for link in links)
    store.withdraw(1)
    assert {store.find(link).state for link in links} == {"withdrawn"}  # type: ignore[union-attr]


def test_joining_at_once_by_one_name_or_one_page_makes_one_participant(store: AnswerStore) -> None:
    page = store.join()
    with ThreadPoolExecutor(16) as pool:
        links = list(pool.map(lambda _: store.join(external="anna"), range(40)))
        pages = list(pool.map(lambda _: store.join(made=page), range(40)))
    assert len({store.find(link).id for link in links}) == 1  # type: ignore[union-attr]
    assert {*pages} == {page}
    assert len(store.participants("person")) == 2


def test_a_data_base_of_before_knows_its_links(tmp_path: Path) -> None:
    """One that has no table of further links yet."""
    folder, _ = small_study(tmp_path / "study")
    store = AnswerStore(folder)
    made = store.join(external="anna")
    store._db.execute("DROP TABLE link")
    store.close()
    again = AnswerStore(folder)
    assert again.find(made) == again.find(again.join(external="anna"))
    again.close()


def test_lists_are_balanced_and_leave_out_who_has_gone(store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [joined(store)[1] for _ in range(8)]
    assert [m.list for m in members] == [0, 1, 2, 3, 0, 1, 2, 3]
    store.withdraw(members[2].id)
    assert joined(store)[1].list == 2
    store.join("preview")  # the owner's look takes no place
    assert joined(store)[1].list == 0
    # Hours later: who finished counts, who left does not.
    store.add(members[1].id, [answer(k) for k in range(store.trials[1])])
    now = store_module.time.time()
    monkeypatch.setattr(store_module.time, "time", lambda: now + store_module.STALE + 60)
    assert [joined(store)[1].list for _ in range(4)] == [0, 2, 3, 0]


def test_lists_are_balanced_when_all_join_at_once(store: AnswerStore) -> None:
    with ThreadPoolExecutor(32) as pool:
        lists = list(pool.map(lambda _: joined(store)[1].list, range(100)))
    assert Counter(lists) == {0: 25, 1: 25, 2: 25, 3: 25}


def test_lists_are_balanced_between_connections(store: AnswerStore) -> None:
    """As between processes: each has a connection of its own, and SQLite's lock alone keeps them apart."""

    def join_many(_: int) -> list[int | None]:
        own = AnswerStore(read_folder(store.path.parent))
        found = [joined(own)[1].list for _ in range(15)]
        own.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [number for part in pool.map(join_many, range(4)) for number in part]
    assert Counter(found) == {0: 15, 1: 15, 2: 15, 3: 15}


def test_many_at_once_lose_nothing(store: AnswerStore) -> None:
    members = [joined(store)[1] for _ in range(20)]

    def work(who) -> None:
        for k in range(10):
            store.add(who.id, [answer(k, "right")])

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, members))
    assert {who: len(a) for who, a in store.answers("person").items()} == {m.id: 10 for m in members}


def test_a_full_disk_stores_nothing_by_halves_and_goes_on_when_there_is_room(store: AnswerStore) -> None:
    members = [joined(store)[1] for _ in range(3)]
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    acknowledged: list[str] = []
    with pytest.raises(LomitError, match="can't be used: database or disk is full"):
        acknowledged.extend(store.invite() for _ in range(10_000))
    with pytest.raises(LomitError, match="disk is full"):
        store.join(external="a name that needs " + 3_000 * "much ")
    assert len(store.participants("person")) == len(members) + len(acknowledged)
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert store.add(members[0].id, [answer(0)])
    assert store.answered(members[0].id) == [0]


def test_a_commit_that_fails_leaves_no_transaction_open(store: AnswerStore) -> None:
    _, who = joined(store)

    class Failing:
        """The connection, whose next commit fails and leaves its transaction open."""

        def __init__(self, real: sqlite3.Connection) -> None:
            self.real, self.left = real, 1

        def execute(self, query: str, *values: object) -> sqlite3.Cursor:
            if query == "COMMIT" and self.left:
                self.left = 0
                raise sqlite3.OperationalError("disk I/O error")
            return self.real.execute(query, *values)

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    store._db = Failing(store._db)  # type: ignore[assignment]
    with pytest.raises(LomitError, match="disk I/O error"):
        store.add(who.id, [answer(0)])
    assert store.answered(who.id) == []
    assert store.add(who.id, [answer(1)])
    assert store.answered(who.id) == [1]


def test_answers_belong_to_their_study(tmp_path: Path, store: AnswerStore) -> None:
    other, _ = small_study(tmp_path / "other", blocks=small_blocks(trials=3))
    store.invite()
    store.close()
    (store.path).rename(other.path / ANSWERS)
    with pytest.raises(LomitError, match="holds answers to another study"):
        AnswerStore(other)


def test_questions_stay_as_they_are_once_somebody_takes_part(tmp_path: Path) -> None:
    folder, _ = small_study(tmp_path / "study")
    AnswerStore(folder).close()
    asked = replace(folder.study.blocks[0], question="Which one is more natural?")
    changed = replace(folder, study=replace(folder.study, blocks=(asked, *folder.study.blocks[1:])))
    store = AnswerStore(changed)  # nobody has taken part yet
    store.join()
    store.close()
    AnswerStore(changed).close()
    with pytest.raises(LomitError, match="or to other questions"):
        AnswerStore(folder)


def test_a_damaged_data_base_is_one_line(tmp_path: Path) -> None:
    folder, _ = small_study(tmp_path / "study")
    (folder.path / ANSWERS).write_bytes(b"no data base at all" * 100)
    with pytest.raises(LomitError, match="can't be used: file is not a database"):
        AnswerStore(folder)


@pytest.mark.parametrize("leaves", [False, True])
def test_results_while_somebody_joins_or_withdraws(store: AnswerStore, monkeypatch, leaves: bool) -> None:
    """Between the two questions to the data base that results need."""
    folder = read_folder(store.path.parent)
    _, one = joined(store)
    store.add(one.id, [answer(0)])

    def meanwhile() -> None:
        monkeypatch.undo()
        if leaves:
            store.withdraw(one.id)
        else:
            store.add(joined(store)[1].id, [answer(0)])

    def first(call):
        def called(sort):
            found = call(sort)
            meanwhile()
            return found

        return called

    monkeypatch.setattr(store, "answers", first(store.answers))
    monkeypatch.setattr(store, "participants", first(store.participants))
    assert [person.id for person in people(folder, store, "person")] == ([] if leaves else [one.id])


def test_a_data_base_that_is_damaged_or_somebody_elses_is_one_line(store: AnswerStore, monkeypatch) -> None:
    _, who = joined(store)
    store.add(who.id, [answer(0)])
    folder = read_folder(store.path.parent)
    (root,) = store._db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'answer'").fetchone()
    (size,) = store._db.execute("PRAGMA page_size").fetchone()
    store.close()
    with store.path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\x5a" * size)
    with pytest.raises(LomitError, match="can't be used"), contextlib.closing(AnswerStore(folder)) as damaged:
        damaged.answers("person")

    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", denied)
    with pytest.raises(LomitError, match="can't be used"):
        AnswerStore(folder)

"""Random studies and requests: each gets a line or an answer, never a traceback, and soon."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest

from lomit.apps.study.build import own_blocks, read_entries
from lomit.apps.study.definition import ACCESS, ANSWERS, KEY, STUDY, StudyDefinition, read_folder
from lomit.apps.study.design import Room, Stimulus, design, require_room
from lomit.apps.study.material import TranslationTable
from lomit.apps.study.store import AnswerStore
from lomit.apps.web import listening, serving
from lomit.errors import LomitError
from lomit.inference.pairs import SUFFIXES
from support import fuzz
from support.studies import MODELS, answer, odd_requests, small_blocks, small_study

pytest.importorskip("fastapi")
testclient = pytest.importorskip("starlette.testclient")


def tried(task: Callable[[], object]) -> str:
    """`works`, or `line` for one line that a person can read; seconds are the processor's, the machine may be busy."""
    began, said = time.process_time(), ""
    try:
        task()
    except LomitError as error:
        said = str(error)
    assert time.process_time() - began < 1
    said.encode()
    assert len(said.splitlines()) <= 1
    return "line" if said else "works"


def folders(path: Path, count: int, seed: int) -> Counter[str]:
    """Damaged folders of a study: read, served and answered."""
    from lomit.apps.study.server import create_app

    rng = Random(seed)
    _, owner = small_study(path, external_id="PANEL_ID")
    whole = {name: json.loads((path / name).read_text()) for name in (STUDY, KEY, ACCESS)}

    def serve() -> None:
        read = read_folder(path)
        read.require_images()
        store = AnswerStore(read)
        try:
            client = testclient.TestClient(create_app(read, store, 1e9, 1e9))
            assert client.get(f"/join/{read.access.join}").status_code == 200
            reply = client.post(f"/join/{read.access.join}", follow_redirects=False)
            link = reply.headers["location"].removeprefix("..")
            for page in ("", "trials", "0/left", "1/right"):
                assert client.get(link + page).status_code == 200
            assert client.post(f"{link}answers", json={"answers": [answer(0)]}).status_code == 200
            for page in ("results", "answers.csv"):
                reply = client.get(f"/owner/{page}", headers={"authorization": f"Bearer {owner}"})
                assert reply.status_code in (200, 401)  # the hash of the token may be another one
        finally:
            store.close()

    found: Counter[str] = Counter()
    for _ in range(count):
        for name, values in whole.items():
            (path / name).write_text(json.dumps(values))
        name = rng.choice(list(whole))
        (path / name).write_bytes(fuzz.as_text(rng, fuzz.mutated(rng, whole[name], rng.choice((1, 1, 2, 4)))))
        for file in path.glob(f"{ANSWERS}*"):
            file.unlink()
        found[tried(serve)] += 1
    return found


def designs(folder: Path, count: int, seed: int) -> Counter[str]:
    """Files of one's own blocks."""
    rng, file = Random(seed), folder / "blocks.json"
    whole = json.loads(json.dumps([asdict(block) for block in small_blocks()]))

    def build() -> None:
        blocks = own_blocks(read_entries(file), file, MODELS, "first")
        StudyDefinition(MODELS, blocks, 4, 3, 16)
        require_room(blocks, MODELS, Room(20, [60] * 21, "the faces"))
        design(blocks, MODELS, 20, 60, 4, 3)

    found: Counter[str] = Counter()
    for _ in range(count):
        file.write_bytes(fuzz.as_text(rng, fuzz.mutated(rng, whole, rng.choice((1, 2, 4)))))
        found[tried(build)] += 1
    return found


def tables(folder: Path, count: int, seed: int) -> Counter[str]:
    """Tables of translations made elsewhere."""
    from PIL import Image

    rng, file = Random(seed), folder / "table.csv"
    Image.new("RGB", (16, 16)).save(folder / "a.png")
    whole = [["input", "exemplar", "ours"], *[["a.png"] * 3 for _ in range(4)]]

    def read() -> None:
        material = TranslationTable(file, folder, None, SUFFIXES)
        StudyDefinition(material.models, small_blocks(material.models), 4, 3, material.size)
        material.pictures([Stimulus("input", "", 0), *[Stimulus("output", name, 0) for name in material.models]], 0)

    found: Counter[str] = Counter()
    for _ in range(count):
        rows = fuzz.mutated(rng, whole, rng.choice((1, 1, 2)))
        cells = [row if isinstance(row, list) else [row] for row in (rows if isinstance(rows, list) else [rows])]
        text = "\n".join(",".join(map(str, row)) for row in cells)
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        found[tried(read)] += 1
    return found


def requests(path: Path, count: int, seed: int) -> tuple[fuzz.Figures, int]:
    """A running study; what came of the requests, and how many tracebacks its log holds."""
    from lomit.apps.study.server import create_app

    rng = Random(seed)
    folder, owner = small_study(path, external_id="PANEL_ID")
    store = AnswerStore(folder)
    links = [store.join() for _ in range(4)] + [store.invite()]
    with fuzz.server_errors() as log, listening("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with serving(create_app(folder, store, 1e9, 1e9), bound, proxy=True):
            figures = fuzz.send_many(port, odd_requests(rng, folder.access.join, owner, links, count))
    store.close()
    return figures, log.getvalue().count("Traceback")


def test_damaged_folders_are_a_line_or_work(tmp_path: Path) -> None:
    assert folders(tmp_path / "study", 60, 0).total() == 60


def test_odd_blocks_are_a_line_or_a_design(tmp_path: Path) -> None:
    found = designs(tmp_path, 200, 0)
    assert found["works"] > 0
    assert found["line"] > 0


def test_odd_tables_are_a_line_or_pictures(tmp_path: Path) -> None:
    assert tables(tmp_path, 100, 0).total() == 100


def test_odd_requests_are_answered(tmp_path: Path) -> None:
    figures, tracebacks = requests(tmp_path / "study", 300, 0)
    assert figures.wrong == []
    assert tracebacks == 0
    assert {200, 303, 404, 405, 422} <= set(figures.statuses)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_odd_studies_and_requests(tmp_path: Path) -> None:
    kinds: dict[str, Callable[[Path, int, int], Counter[str]]] = {
        "folders": folders,
        "blocks": designs,
        "tables": tables,
    }
    for name, task in kinds.items():
        place = tmp_path / name
        if task is not folders:
            place.mkdir()
        print(f"\n{name}: {dict(task(place, 1_000, 1))}, no traceback")
    figures, tracebacks = requests(tmp_path / "study", 10_000, 1)
    print(f"study: {figures}; {tracebacks} tracebacks")
    assert figures.wrong == []
    assert tracebacks == 0

"""Parts of an evaluation: computed once, taken up with the same settings only, never mixed with another run's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from lomit.errors import LomitError
from lomit.evaluation.store import IMAGES, PARTS, Store, open_store
from lomit.stats.estimate import Estimate


def values() -> dict[str, torch.Tensor]:
    both = torch.arange(6, dtype=torch.float64).view(2, 3)
    return {"a b/c": both[0], "d": both[:, 1], "e": torch.tensor([True, False])}


def never() -> dict[str, torch.Tensor]:
    raise AssertionError("computed again")


def test_a_part_is_computed_once_and_comes_back_to_the_bit(tmp_path: Path) -> None:
    with open_store(tmp_path / "out", {"seed": 0}) as store:
        first = store.part("stage one/0", values)
    with open_store(tmp_path / "out", {"seed": 0}) as store:
        again = store.part("stage one/0", never)
        other = store.part("stage_one/0", lambda: {"d": torch.ones(1)})  # not the same name
    assert first.keys() == again.keys() == values().keys()
    for name, tensor in values().items():
        assert torch.equal(first[name], tensor)
        assert torch.equal(again[name], tensor)
        assert again[name].dtype == tensor.dtype
    assert other["d"].item() == 1


def test_estimates_come_back_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "parts")
    for e in (
        Estimate(0.1 + 0.2, -1e-300, 7.0, 12, 3),
        Estimate(2.0, None, None, 4, 1),
        Estimate(None, None, None, 0, 0),
    ):
        assert store.estimate(str(e.samples), lambda e=e: e) == e  # type: ignore[misc]
        assert store.estimate(str(e.samples), never) == e  # type: ignore[arg-type]


def test_a_damaged_part_is_computed_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "parts")
    store.part("x", values)
    (file,) = (tmp_path / "parts").glob("x*")
    file.write_bytes(file.read_bytes()[:-3])
    assert torch.equal(store.part("x", values)["d"], values()["d"])
    assert torch.equal(store.part("x", never)["d"], values()["d"])


def test_without_a_folder_nothing_is_kept() -> None:
    calls = []
    store = Store()
    for _ in range(2):
        store.part("x", lambda: calls.append(1) or values())  # type: ignore[func-returns-value]
    store.keep_images("x", ["a"], torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
    store.finish()
    assert len(calls) == 2


def test_images_hold_the_exact_values(tmp_path: Path) -> None:
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    with open_store(tmp_path / "out", {}, keep_images=True) as store:
        store.keep_images("a b/c", ["0_x/y", "1_.z"], images)
    files = sorted((tmp_path / "out" / IMAGES / "a_b" / "c").iterdir())
    assert [f.name for f in files] == ["0_x_y.png", "1_.z.png"]
    assert Image.open(files[1]).getpixel((2, 1)) == tuple(images[1, :, 1, 2].tolist())


def test_another_setting_is_refused_and_named(tmp_path: Path) -> None:
    with open_store(tmp_path, {"seed": 0, "classes": ("a",)}) as store:
        store.part("x", values)
    with pytest.raises(LomitError, match="another setting: seed was 0, now 1; .* or add --overwrite"):
        open_store(tmp_path, {"seed": 1, "classes": ("a",)}).__enter__()
    with pytest.raises(LomitError, match="pairs was None, now 3"):
        open_store(tmp_path, {"seed": 0, "classes": ("a",), "pairs": 3}).__enter__()
    with open_store(tmp_path, {"seed": 0, "classes": ("a",)}, overwrite=True) as store:
        store.part("x", never)
    with open_store(tmp_path, {"seed": 1}, overwrite=True) as store:
        store.part("x", lambda: {"new": torch.ones(1)})
    with open_store(tmp_path, {"seed": 1}) as store:
        assert set(store.part("x", never)) == {"new"}


def test_what_is_not_of_an_evaluation_stays(tmp_path: Path) -> None:
    (tmp_path / PARTS).mkdir()
    (tmp_path / PARTS / "mine").write_text("mine")
    with pytest.raises(LomitError, match="is not of an evaluation; remove it"):
        open_store(tmp_path, {}, overwrite=True).__enter__()
    assert (tmp_path / PARTS / "mine").read_text() == "mine"
    out = tmp_path / "other"
    (out / IMAGES).mkdir(parents=True)
    (out / IMAGES / "mine.png").write_text("mine")
    with pytest.raises(LomitError, match="holds pictures of another run"):
        open_store(out, {}, keep_images=True, overwrite=True).__enter__()


def test_a_run_that_is_stopped_in_its_first_part_is_taken_up_with_its_images(tmp_path: Path) -> None:
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    with open_store(tmp_path, {"seed": 0}, keep_images=True) as store:
        store.keep_images("x", ["a"], image)
    with open_store(tmp_path, {"seed": 0}, keep_images=True) as store:
        store.part("x", values)
    # What can't be started afresh is not removed.
    with pytest.raises(LomitError, match="holds pictures of another run"):
        open_store(tmp_path, {"seed": 1}, keep_images=True, overwrite=True).__enter__()
    with open_store(tmp_path, {"seed": 0}, keep_images=True) as store:
        store.part("x", never)


def test_only_one_writes_and_nothing_is_left_behind(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_store(out, {}), pytest.raises(LomitError, match="another evaluation writes into"):
        open_store(out, {}).__enter__()
    assert not out.exists()
    with open_store(out, {}) as store:
        store.part("x", values)
        store.finish()
    assert not out.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(LomitError, match="can't write"):
        open_store(tmp_path / "file", {}).__enter__()

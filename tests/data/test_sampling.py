"""Pairs are a pure function of (seed, step), cover every image, and do not depend on the number of processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lomit.data.cache import Cache
from lomit.data.sampling import IndependentPairs, Sampler, TwoDomainPairs, keep_resident, load_batch
from lomit.errors import LomitError

LABELS = np.array([[k % 3 == 0, k % 2] for k in range(60)], dtype=np.int8)
LABELS[7, 0] = -1
INDICES = np.arange(5, 55)


def sampler(kind: type[Sampler] = IndependentPairs, batch_size: int = 8, seed: int = 3, **more: int) -> Sampler:
    return kind(LABELS, INDICES, batch_size, seed, **more)


def walk(s: Sampler, side: int, steps: int) -> np.ndarray:
    return np.concatenate([s.indices_at(k)[side] for k in range(steps)])


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("batch_size", [1, 8, 128])
def test_each_epoch_visits_every_image_once(side: int, batch_size: int) -> None:
    drawn = walk(sampler(batch_size=batch_size), side, -(-200 // batch_size))[:200].reshape(4, 50)
    assert drawn.dtype == np.int64
    assert all(sorted(epoch.tolist()) == INDICES.tolist() for epoch in drawn)
    assert not np.array_equal(drawn[0], drawn[1])  # each epoch in an order of its own
    assert not np.array_equal(drawn[0], INDICES)


def test_the_two_sides_are_drawn_independently() -> None:
    first, second = (walk(sampler(), side, 25) for side in (0, 1))
    assert (first == second).mean() < 0.1


def test_a_step_depends_on_the_seed_and_the_step_alone() -> None:
    used, fresh = sampler(), sampler()
    for step in (0, 1, 2, 100, 7):
        used.indices_at(step)
    assert all(np.array_equal(a, b) for a, b in zip(used.indices_at(41), fresh.indices_at(41), strict=True))
    assert np.array_equal(used.flips_at(41), fresh.flips_at(41))
    assert not np.array_equal(walk(sampler(seed=3), 0, 6), walk(sampler(seed=4), 0, 6))


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_batch_that_one_would_draw(world: int) -> None:
    alone = sampler()
    ranks = [sampler(rank=r, world=world) for r in range(world)]
    for step in range(20):
        for side in (0, 1):
            parts = [r.indices_at(step)[side] for r in ranks]
            assert all(len(p) == 8 // world for p in parts)
            assert np.array_equal(np.concatenate(parts), alone.indices_at(step)[side])
        assert np.array_equal(np.concatenate([r.flips_at(step) for r in ranks], axis=1), alone.flips_at(step))
    within_an_epoch = [set(walk(r, 0, 6).tolist()) for r in ranks]
    assert sum(map(len, within_an_epoch)) == len(set.union(*within_an_epoch))


def test_two_domains_take_their_sides() -> None:
    one = TwoDomainPairs(LABELS[:, :1], INDICES, 8, 3)
    assert set(walk(one, 0, 40).tolist()) == {k for k in range(5, 55) if k % 3 and k != 7}  # 7 is not annotated
    assert set(walk(one, 1, 40).tolist()) == {k for k in range(5, 55) if k % 3 == 0}
    both = sampler(TwoDomainPairs)
    assert set(walk(both, 0, 40).tolist()) == {k for k in range(5, 55) if k % 3 and not k % 2}, "none of the attributes"
    assert set(walk(both, 1, 40).tolist()) == {k for k in range(5, 55) if k % 3 == 0 and k % 2}, "all of them"


def test_flips_are_fair_and_differ_between_the_sides() -> None:
    flips = np.stack([sampler().flips_at(step) for step in range(500)])
    assert flips.shape == (500, 2, 8)
    assert abs(flips.mean() - 0.5) < 0.03
    assert abs((flips[:, 0] == flips[:, 1]).mean() - 0.5) < 0.04


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(LomitError, match=r"train.batch_size \(8\) must be a multiple of the 3 processes"):
        sampler(world=3)
    with pytest.raises(LomitError, match="no image to train on"):
        IndependentPairs(LABELS, INDICES[:0], 8, 0)
    with pytest.raises(LomitError, match="images with all of the attributes; there is none"):
        TwoDomainPairs(LABELS, INDICES[INDICES % 3 > 0], 8, 0)
    with pytest.raises(LomitError, match="images with none of the attributes; there is none"):
        TwoDomainPairs(LABELS, INDICES[INDICES % 3 == 0], 8, 0)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Image k is k everywhere but in its first column, which is black."""
    images = np.tile(np.arange(60, dtype=np.uint8)[:, None, None, None], (1, 3, 4, 4))
    images[:, :, :, 0] = 0
    np.save(tmp_path / "images.npy", images)
    n = np.arange(60)
    return Cache(
        images=np.load(tmp_path / "images.npy", mmap_mode="r"),
        labels=LABELS,
        split=np.zeros(60, dtype=np.int8),
        identity=n.astype(np.int32),
        names=[str(k) for k in n],
        source_index=n,
        attributes=("A", "B"),
        eligible=np.ones(60, dtype=bool),
        skipped={},
    )


def test_a_batch_holds_what_the_sampler_drew(cache: Cache) -> None:
    s = sampler()
    for step in (0, 9):
        batch = load_batch(cache, s, step)
        assert list(batch) == ["x1", "y1", "x2", "y2"]
        for k, (rows, mirrored) in enumerate(zip(s.indices_at(step), s.flips_at(step), strict=True), start=1):
            x, y = batch[f"x{k}"], batch[f"y{k}"]
            assert x.shape == (8, 3, 4, 4)
            assert x.dtype == y.dtype == torch.float32
            assert torch.allclose(x[:, 0, 0, 1], torch.from_numpy(rows) / 127.5 - 1, atol=1e-6)
            assert ((x[:, 0, 0, 3] == -1).numpy() == mirrored).all()
            assert ((x[:, 0, 0, 0] == -1).numpy() == ~mirrored).all()
            assert np.array_equal(y.numpy(), LABELS[rows].astype(np.float32))
    plain = load_batch(cache, s, 0, flip=False)["x1"]
    assert (plain[:, :, :, 0] == -1).all()


def test_loading_leaves_the_random_state_of_torch_and_numpy_alone(cache: Cache) -> None:
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    load_batch(cache, sampler(), 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], legacy)  # type: ignore[index]


@pytest.mark.cuda
def test_a_batch_on_a_gpu_is_the_same(cache: Cache) -> None:
    here, there = ([*load_batch(cache, sampler(), 4, device).values()] for device in ("cpu", "cuda"))
    assert all(b.is_cuda for b in there)
    for a, b in zip(here, there, strict=True):  # a GPU multiplies by the inverse of what a CPU divides by
        torch.testing.assert_close(a, b.cpu(), rtol=0, atol=2**-23)


def test_images_kept_on_the_device_give_the_same_batches(cache: Cache) -> None:
    before = [load_batch(cache, sampler(), step) for step in range(3)]
    keep_resident(cache, torch.device("cpu"), "auto")
    assert cache.resident is None, "on a CPU the file is in memory already"
    keep_resident(cache, torch.device("cpu"), "yes")
    cache.images = np.zeros_like(cache.images)  # from here on only the copy can give the pixels
    for step, expected in enumerate(before):
        found = load_batch(cache, sampler(), step)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_images_that_do_not_fit_on_the_device_are_named(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch, "from_numpy", full)
    with pytest.raises(LomitError, match=r"the images \(0.0 GiB\) don't fit on cpu"):
        keep_resident(cache, torch.device("cpu"), "yes")

"""LPIPS against torchmetrics, with weights of no use in both; files that are not what they should be."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lomit.errors import LomitError
from lomit.metrics import lpips
from lomit.metrics.lpips import ALEXNET, CHANNELS, distance, load_lpips


def alexnet() -> nn.Sequential:
    """AlexNet's convolutions as its paper lists them, with random weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("w") / ALEXNET
    tensors = {f"features.{name}": t for name, t in alexnet().state_dict().items()}
    torch.save(tensors | {"classifier.1.bias": torch.zeros(3)}, path)
    return path


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads that are not those of anybody."""
    path = tmp_path_factory.mktemp("h") / "alex.safetensors"
    g = torch.Generator().manual_seed(0)
    save_file({f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1, generator=g) for k, c in enumerate(CHANNELS)}, path)
    return path


def images(n: int = 2, size: int = 64) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    x, y = (torch.rand(n, 3, size, size, generator=g) * 2 - 1 for _ in range(2))
    return x, (x + y) / 2


def test_distance_is_torchmetrics(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = pytest.importorskip("torchmetrics.functional.image.lpips")
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: alexnet())
    network = theirs._LPIPS(pretrained=True, net="alex")  # its heads are the published ones, and so are ours
    x, y = images()
    ours = load_lpips(weights)(x, y)
    torch.testing.assert_close(ours, network(x, y).flatten(), rtol=1e-3, atol=1e-6)
    assert (ours > 0).all()


def test_layers_by_hand() -> None:
    g = torch.Generator().manual_seed(0)
    first, second = ([torch.randn(2, c, 3, 3, generator=g) for c in (4, 6)] for _ in range(2))
    heads = [torch.rand(c, generator=g) for c in (4, 6)]
    expected = 0.0
    for f, s, w in zip(first, second, heads, strict=True):
        for i in range(3):
            for j in range(3):
                a, b = f[1, :, i, j], s[1, :, i, j]
                expected += float((w * (a / math.sqrt(a @ a) - b / math.sqrt(b @ b)) ** 2).sum()) / 9
    assert distance(first, second, heads)[1].item() == pytest.approx(expected, rel=1e-5)
    scaled = [3 * f for f in first]
    torch.testing.assert_close(distance(scaled, second, heads), distance(first, second, heads))


def test_equal_images_direction_and_nearness(weights: Path, heads: Path) -> None:
    network, (x, y) = load_lpips(weights, heads), images()
    assert network(x, x).tolist() == [0.0, 0.0]
    torch.testing.assert_close(network(x, y), network(y, x))
    assert (network(x, (3 * x + y) / 4) < network(x, y)).all()
    torch.testing.assert_close(network(x, y)[:1], network(x[:1], y[:1]))
    assert not any(p.requires_grad for p in network.parameters())


def test_weights_from_torchs_cache(weights: Path, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(LomitError, match=f"AlexNet .* are not here: get https.*/{ALEXNET} and give its path"):
        load_lpips(heads=heads)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ALEXNET).write_bytes(weights.read_bytes())
    x, y = images()
    assert torch.equal(load_lpips(heads=heads)(x, y), load_lpips(weights, heads)(x, y))


class Dangerous:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path, ("anything",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no weights of AlexNet"),
        (b"half", "is damaged, or holds more than weights"),
        ({"features.0.weight": torch.zeros(2)}, "does not fit the network: "),
        ([1, 2], "holds no weights"),
        ({"features.0.weight": Dangerous()}, "holds more than weights"),
    ],
)
def test_files_that_are_no_alexnet(tmp_path: Path, heads: Path, content: object, says: str) -> None:
    path = tmp_path / "a.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(LomitError, match=says):
        load_lpips(path, heads)


def test_heads_that_are_none(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / "h.safetensors")
    with pytest.raises(LomitError, match="does not hold the channels' weights of LPIPS with AlexNet"):
        load_lpips(weights, tmp_path / "h.safetensors")
    monkeypatch.setattr(lpips, "find_spec", lambda name: None)
    with pytest.raises(LomitError, match=r"pip install 'lomit\[metrics\]'"):
        load_lpips(weights)

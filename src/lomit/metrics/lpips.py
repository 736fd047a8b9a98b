"""LPIPS, the learned perceptual distance of two images (Zhang et al., 2018), version 0.1 with AlexNet.

The maps after AlexNet's five ReLUs are scaled to length 1 at each place; their squared differences are weighted by
channel, summed over channels, averaged over places and summed over the five layers.  AlexNet's weights are
torchvision's file, the channels' weights ("heads") are part of torchmetrics' package.  The network is written out here,
so torchvision itself is not needed.  With other weights it is not LPIPS: where these are not to be had,
`lomit.metrics.diversity` with the classifier's features takes its place, under that name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.errors import LomitError
from lomit.metrics.backbones import backbone_file, load_into, read_tensors

NAME = "LPIPS-alex"
ALEXNET = "alexnet-owt-7be5be79.pth"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and standard deviation, for images in [-1, 1]."""
CHANNELS = (64, 192, 384, 256, 256)


def distance(first: Sequence[Tensor], second: Sequence[Tensor], heads: Sequence[Tensor]) -> Tensor:
    """LPIPS from the layers' maps of two batches of images, B x C_l x h_l x w_l each: B, not negative.

    `heads` are the channels' weights, C_l each, not negative.
    """
    total = torch.zeros(len(first[0]), dtype=first[0].dtype, device=first[0].device)
    for f, g, w in zip(first, second, heads, strict=True):
        apart = (F.normalize(f, dim=1) - F.normalize(g, dim=1)).square()
        total = total + torch.einsum("bchw,c->bhw", apart, w).mean(dim=(1, 2))
    return total


class Lpips(nn.Module):
    """LPIPS of two batches of images; `features` are torchvision's AlexNet (Krizhevsky, 2014) up to its last ReLU."""

    shift: Tensor
    scale: Tensor

    def __init__(self, heads: Sequence[Tensor]) -> None:
        super().__init__()
        kernels = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
        layers: list[nn.Module] = []
        for k, (c_in, c_out, kernel) in enumerate(zip((3, *CHANNELS[:-1]), CHANNELS, kernels, strict=True)):
            layers += [nn.MaxPool2d(3, 2)] if k in (1, 2) else []
            layers += [nn.Conv2d(c_in, c_out, *kernel), nn.ReLU()]
        self.features, self.heads = nn.Sequential(*layers), nn.ParameterList(heads)
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))
        self.eval().requires_grad_(False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """B x 3 x H x W in [-1, 1] -> the maps after each ReLU."""
        x, found = (x - self.shift) / self.scale, []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """B x 3 x H x W each, in [-1, 1], at least 63 pixels high and wide -> B, not negative."""
        return distance(self.maps(x), self.maps(y), list(self.heads))


def load_lpips(weights: str | os.PathLike[str] | None = None, heads: str | os.PathLike[str] | None = None) -> Lpips:
    """LPIPS as it is published; LomitError where weights are not to be had or are something else.

    `weights` are torchvision's AlexNet, .pth or .safetensors, by default from torch's cache; `heads` those of the
    channels, by default from torchmetrics' package (extra `metrics`).
    """
    path = backbone_file("AlexNet (for LPIPS)", ALEXNET, weights)
    convolutions = {k: v for k, v in read_tensors(path).items() if k.startswith("features.")}
    network = Lpips([torch.empty(c) for c in CHANNELS])
    load_into(network.features, {k.removeprefix("features."): v for k, v in convolutions.items()}, path)
    path = Path(heads) if heads is not None else _packaged_heads()
    tensors = read_tensors(backbone_file("LPIPS' channels", path.name, path))
    for k, head in enumerate(network.heads):
        found = tensors.get(f"lin{k}.model.1.weight", torch.empty(0)).flatten()
        if len(found) != len(head):
            raise LomitError(f"{path} does not hold the channels' weights of LPIPS with AlexNet")
        head.copy_(found)
    return network


def _packaged_heads() -> Path:
    """The file in torchmetrics' package, found without importing it: it fails beside a broken torchvision."""
    spec = find_spec("torchmetrics")
    if spec is None or not spec.submodule_search_locations:
        raise LomitError("the weights of LPIPS' channels are part of torchmetrics: pip install 'lomit[metrics]'")
    return Path(spec.submodule_search_locations[0]) / "functional" / "image" / "lpips_models" / "alex.pth"

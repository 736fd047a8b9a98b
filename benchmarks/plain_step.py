"""The training step and the translation as one would first write them: the yardstick of `lomit bench`.

The mathematics is `PlainLomit`'s, in torch's own operations instead of written-out means and variances, so that a
ratio to it says something: float32, contiguous tensors, each direction on its own, R1 as a matrix, Adam as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plain_lomit import Choices, Pair, PlainLomit


class PlainStep(PlainLomit):
    """`PlainLomit` with torch's layers and two optimisers.

    Args:
        tensors: parameters and buffers of a translator by name; they are copied.
        choices: settings.
        training: batch norm takes the batch's statistics.
        lr: Adam's learning rate.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], choices: Choices, training: bool = True, lr: float = 1e-4
    ) -> None:
        copies = {
            name: torch.empty(t.shape, dtype=t.dtype, device=t.device).copy_(t.detach()).requires_grad_(t.requires_grad)
            for name, t in tensors.items()
        }
        super().__init__(copies, choices)
        self.training = training
        self.optimizers = {
            part: torch.optim.Adam(
                [t for n, t in copies.items() if n.startswith(part) and t.requires_grad], lr=lr, betas=(0.5, 0.999)
            )
            for part in ("discriminator", "generator")
            if any(n.startswith(part) and t.requires_grad for n, t in copies.items())
        }

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, *self.weight(name))

    def instance_norm(self, name: str, x: Tensor) -> Tensor:
        w, b = self.weight(name)
        return F.instance_norm(x, weight=w, bias=b)

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        return F.group_norm(x, 1, *self.weight(name))

    def mask_norm(self, name: str, x: Tensor) -> Tensor:
        if self.choices.mask_norm != "batch":
            return super().mask_norm(name, x)
        statistics = self.tensors[f"{name}.running_mean"], self.tensors[f"{name}.running_var"]
        return F.batch_norm(x, *statistics, *self.weight(name), training=self.training)

    def upsample(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")

    def full_size(self, m: Tensor) -> Tensor:
        return F.interpolate(m, scale_factor=float(self.choices.cell), mode="bilinear", align_corners=False)

    def discriminator_step(self, pair: Pair, labels: Pair) -> Tensor:
        """One update of D, under points between images and translations that are drawn anew."""
        alphas = torch.rand(2, len(pair[0]), dtype=pair[0].dtype, device=pair[0].device)
        return self._update("discriminator", self.discriminator_total(pair, labels, (alphas[0], alphas[1])))

    def generator_step(self, pair: Pair, labels: Pair) -> Tensor:
        """One update of E_c, E_s^f, E_s^b, A and G."""
        return self._update("generator", self.generator_total(pair, labels))

    def _update(self, part: str, total: Tensor) -> Tensor:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        total.backward()
        self.optimizers[part].step()
        return total.detach()


def plain_step(translator: Any, training: bool = True) -> PlainStep:
    """The plain formulation with a LOMIT translator's weights and settings."""
    config = translator.config
    fields = {n: getattr(config, n) for n in ("cell", "masks", "mask_norm", "gamma", "shared_style_head")}
    tensors: dict[str, Tensor] = dict(translator.named_parameters()) | dict(translator.named_buffers())
    choices = Choices(**fields, **vars(config.weights))
    return PlainStep(tensors, choices, training)

"""LOMIT's generator: encoders, co-segmentation networks, HAdaIN and decoder (paper 3, 7.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from lomit.losses.lomit import composed_hadain, split_regions
from lomit.models.base import places_of
from lomit.models.lomit.config import LomitConfig
from lomit.nn.blocks import (
    BatchNorm,
    ConvBlock,
    Norm,
    at_least_float32,
    group_norm,
    halves,
    he_init,
    instance_norm,
    resize_mask,
    swap_halves,
)
from lomit.nn.encoders import ContentEncoder, Decoder, mlp, style_head, style_stem

M = TypeVar("M", bound=Callable[..., Tensor])

_HASTE = 10.0
"""Factor on what masks see of differences: their layer starts at zero, and Adam's steps don't grow with its inputs."""
_MASK_NORMS: dict[str, Norm | None] = {"batch": BatchNorm, "group": group_norm, "none": None}


def _exact_in_use(method: M) -> M:
    """A method of the generator on images or codes that computes in float32 under autocast, but for training.

    Rounded to bfloat16, what masks are made of moves edges of a translation by up to 11/255 (docs/performance.md).
    """

    @wraps(method)
    def call(self: nn.Module, x: Tensor, *rest: Any, **named: Any) -> Tensor:
        kind = x.device.type
        # Outside autocast nothing is entered: exporters would write that into their graphs.  The meta device has none.
        if self.training or not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return method(self, x, *rest, **named)
        with torch.autocast(kind, enabled=False):
            return method(self, x, *rest, **named)

    return cast(M, call)


class StyleEncoders(nn.Module):
    """E_s^f and E_s^b: a shared stem, then two heads with their own parameters; no norm, LeakyReLU 0.01.

    With `shared_head` both regions go through one head (ablation).
    """

    def __init__(self, width: int, style_dim: int, shared_head: bool = False) -> None:
        super().__init__()
        activation = nn.LeakyReLU(0.01, inplace=True)

        def head() -> nn.Sequential:
            return nn.Sequential(*style_head(width, style_dim, activation))

        self.stem = nn.Sequential(*style_stem(width, activation))
        self.foreground = head()
        self.background = self.foreground if shared_head else head()

    def forward(self, x_f: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
        """Foreground and background regions, each B x 3 x H x W -> s_f, s_b, each B x S.

        The stem sees both regions as one batch.
        """
        h_f, h_b = halves(self.stem(torch.cat([x_f, x_b])))
        return self.foreground(h_f), self.background(h_b)


class CoSegmentation(nn.Module):
    """The co-segmentation networks: c_attn = sigmoid(W2 tanh(W1 GAP(c))), m1 = A(c2_attn * c1) (paper 3.1).

    Where masks see differences (`LomitConfig.mask_sees`), attributes follow GAP(c) in a summary; each place in which a
    pair differs has a mask, and the pair's is the largest of them.
    """

    def __init__(self, config: LomitConfig) -> None:
        super().__init__()
        self.config = config
        channels, norm = config.cell * config.width, _MASK_NORMS[config.mask_norm]
        attributes = config.attributes if config.mask_sees == "differences" else ()
        self.differences = nn.Parameter(torch.empty(len(attributes), 2 * channels)) if attributes else None
        self.places = places_of(attributes)
        self.attention = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.Tanh(), nn.Linear(2 * channels, channels), nn.Sigmoid()
        )
        self.A = nn.Sequential(
            *(ConvBlock(channels, channels, 3, 1, 1, norm, nn.ReLU(inplace=True)) for _ in range(config.mask_convs)),
            nn.Conv2d(channels, 1, 1),
        )

    def reset_parameters(self) -> None:
        he_init(self)
        with torch.no_grad():
            self.A[-1].weight.mul_(self.config.mask_init)  # type: ignore[union-attr, operator]
            if self.differences is not None:
                # The paper's network at first: weights that were trained as that go on from what they are.
                self.differences.zero_()

    def forward(self, c: Tensor, summary: Tensor, partner: Tensor) -> Tensor:
        """Masks of images with content c, B x C x h x w, each seen beside its partner: B x 1 x h x w in (0, 1).

        `summary` and `partner` are of each image and of its partner (`LomitGenerator.summary`), B x (C + A).
        """
        channels, exchange = c.shape[1], self.config.masks == "cosegmentation"
        hidden = self.attention[0]((partner if exchange else summary)[:, :channels])
        if self.differences is None:
            return self._attend(c, hidden)
        differs = self.in_places(partner[:, channels:] != summary[:, channels:])
        m = torch.zeros_like(at_least_float32(c[:, :1]))
        for place, here in zip(self.places.values(), differs, strict=True):
            own = self._attend(c, hidden + _HASTE * sum(self.differences[k] for k in place))
            m = torch.maximum(m, own * here[:, None, None, None])
        return m

    def in_places(self, differs: Tensor) -> list[Tensor]:
        """For each place, which pairs differ there: bool, B each; `differs` is B x A, by attributes."""
        return [torch.stack([differs[:, k] for k in place]).any(0) for place in self.places.values()]

    def _attend(self, c: Tensor, hidden: Tensor) -> Tensor:
        """sigmoid(A(sigmoid(W2 tanh(hidden)) * c)); `hidden` is W1 GAP(c) of Eq. 3's partner, B x 2C."""
        for layer in list(self.attention)[1:]:
            hidden = layer(hidden)
        logits = at_least_float32(self.A(hidden[:, :, None, None] * c))
        if self.training and self.config.mask_noise:
            logits = logits + self.config.mask_noise * torch.randn_like(logits)
        return torch.sigmoid(logits)


class StyleMLP(nn.Module):
    """MLP_f or MLP_b of Eq. 4: a style code gives gamma and beta.  B x S -> (B x C, B x C)."""

    def __init__(self, style_dim: int, channels: int, gamma: str) -> None:
        super().__init__()
        self.exponential = gamma == "exp"
        leaky = partial(nn.LeakyReLU, 0.01, inplace=True)
        self.layers = nn.Sequential(*mlp(style_dim, channels, channels, 2 * channels, activation=leaky))

    def reset_parameters(self) -> None:
        he_init(self)
        if not self.exponential:
            # A scale that starts around 0 would erase the content; 1 is where exp(0.5 * 0) starts too.
            last = self.layers[-1].bias
            nn.init.ones_(last[len(last) // 2 :])  # type: ignore[index, arg-type]

    def forward(self, s: Tensor) -> tuple[Tensor, Tensor]:
        beta, gamma = at_least_float32(self.layers(s)).chunk(2, dim=1)
        return (torch.exp(0.5 * gamma) if self.exponential else gamma), beta


class LomitGenerator(nn.Module):
    """x_{1->2} = G(h(E_c(x1), E_s^f(x2^f), E_s^b(x1^b))) with masks from the co-segmentation networks (paper 3)."""

    def __init__(self, config: LomitConfig) -> None:
        super().__init__()
        w, cell = config.width, config.cell
        channels = cell * w
        self.config = config
        self.content_encoder = ContentEncoder(w, config.res_blocks, instance_norm, cell)
        self.style_encoders = StyleEncoders(w, config.style_dim, config.shared_style_head)
        self.cosegmentation = None if config.masks == "ones" else CoSegmentation(config)
        sees_differences = config.mask_sees == "differences"
        self.told_attributes = nn.Linear(config.style_dim, len(config.attributes)) if sees_differences else None
        self.mlp_f = StyleMLP(config.style_dim, channels, config.gamma)
        self.mlp_b = StyleMLP(config.style_dim, channels, config.gamma)
        self.decoder = Decoder(w, config.res_blocks, cell)
        he_init(self)
        for part in (self.cosegmentation, self.mlp_f, self.mlp_b):
            if part is not None:
                part.reset_parameters()
        if self.told_attributes is not None:
            nn.init.zeros_(self.told_attributes.weight)  # as `CoSegmentation.differences`

    @_exact_in_use
    def content(self, x: Tensor) -> Tensor:
        """E_c of Eq. 2: B x 3 x H x W -> c, B x C x H/cell x W/cell."""
        return self.content_encoder(x)  # type: ignore[no-any-return]

    @_exact_in_use
    def summary(self, x: Tensor, c: Tensor, y: Tensor | None = None, whole: Tensor | None = None) -> Tensor:
        """What an image's own mask and its partner's know of it: GAP(c), and the attributes where masks see them.

        Attributes are 0 or 1: masks by probabilities are faint wherever a label is in doubt.  They are the labels y, B
        x A in {0, 1}, as far as these are given (-1 is not annotated), else told from the foreground code of the whole
        image, `whole` where that is known already.  x is B x 3 x H x W, c is B x C x h x w, the summary is B x C or B x
        (C + A).
        """
        pooled = c.mean(dim=(2, 3))
        if self.told_attributes is None:
            return pooled
        with torch.no_grad():
            attributes = (self.told_attributes(self.told(x) if whole is None else whole) > 0).to(pooled.dtype)
            if y is not None:
                attributes = torch.where(y < 0, attributes, y.to(pooled.dtype))
        return torch.cat([pooled, attributes], dim=1)

    def told(self, x: Tensor) -> Tensor:
        """The foreground code of whole images, E_s^f(x), B x S."""
        return self.style(x, "foreground")

    def style(self, region: Tensor, of: Literal["foreground", "background"]) -> Tensor:
        """E_s^f or E_s^b of Eq. 2 alone: a region, B x 3 x H x W -> B x S."""
        encoders = self.style_encoders
        head = encoders.foreground if of == "foreground" else encoders.background
        return at_least_float32(head(encoders.stem(region)))

    def masks(self, c: Tensor, summary: Tensor, partner: Tensor) -> Tensor:
        """Masks of images with content c beside their partners, by the summaries of both; B x 1 x H/cell x W/cell."""
        if self.cosegmentation is None:
            return torch.ones_like(at_least_float32(c[:, :1]))
        return self.cosegmentation(c, summary, partner)  # type: ignore[no-any-return]

    @_exact_in_use
    def self_masks(self, c: Tensor, summary: Tensor) -> Tensor:
        """Masks of images beside themselves, B x 1 x h x w; where masks see differences, all places are meant."""
        partner = summary
        if self.told_attributes is not None:
            pooled, attributes = summary.split([c.shape[1], summary.shape[1] - c.shape[1]], dim=1)
            partner = torch.cat([pooled, 1 - attributes], dim=1)
        return self.masks(c, summary, partner)

    @_exact_in_use
    def pair_masks(self, x: Tensor, c: Tensor, y: Tensor | None = None, moved: Tensor | None = None) -> Tensor:
        """Masks of stacked pairs: image i of the first half and image i of the second are each other's partners.

        x, c and y are those of `summary`, 2B rows each; `moved`, B x A in {0, 1}, names the attributes in which pairs
        count as different where no labels y are given; -1 throughout leaves a pair to what the codes tell.
        """
        if y is None:
            return self.masks_of_pairs(c, *halves(self.pair_summary(x, c, moved)), moved)
        summary = self.summary(x, c, y)
        return self.masks(c, summary, swap_halves(summary))

    def pair_summary(self, x: Tensor, c: Tensor, moved: Tensor | None = None) -> Tensor:
        """`summary` of stacked pairs without labels, 2B rows; `moved` as in `pair_masks`."""
        return self.summary(x, c, None if moved is None else torch.cat([moved.clamp(max=0), moved]))

    @_exact_in_use
    def masks_of_pairs(self, c: Tensor, own: Tensor, partner: Tensor, moved: Tensor | None = None) -> Tensor:
        """`pair_masks` by the halves of `pair_summary`."""
        if self.told_attributes is not None:
            # Where nothing is told to differ, everything is meant: nobody gives an exemplar to have nothing moved.
            channels = c.shape[1]
            same = (own[:, channels:] == partner[:, channels:]).all(1, keepdim=True)
            if moved is not None:
                same = same & (moved < 0).all(1, keepdim=True)
            attributes = torch.where(same, 1 - own[:, channels:], partner[:, channels:])
            partner = torch.cat([partner[:, :channels], attributes], dim=1)
        return self.masks(c, torch.cat([own, partner]), torch.cat([partner, own]))

    def styles(self, x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """E_s^f(x^f) and E_s^b(x^b) of Eq. 2 under a mask of any resolution; each B x S."""
        return self._encoded(*regions(x, m))

    def crossed_styles(self, x: Tensor, m: Tensor, exemplar: Tensor, m_exemplar: Tensor) -> tuple[Tensor, Tensor]:
        """s_f of the exemplar and s_b of the input, each B x S: what x_{1->2} needs, half of what `styles` would do."""
        return self._encoded(regions(exemplar, m_exemplar)[0], regions(x, m)[1])

    def _encoded(self, x_f: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
        s_f, s_b = self.style_encoders(x_f, x_b)
        return at_least_float32(s_f), at_least_float32(s_b)

    def decode(self, c: Tensor, m: Tensor, s_f: Tensor, s_b: Tensor) -> Tensor:
        """G(h(m, c, s_f, s_b)): B x 3 x H x W in [-1, 1]; the mask may have any resolution."""
        return self.decode_composed(c, [m], [s_f], s_b)

    def decode_composed(self, c: Tensor, masks: Sequence[Tensor], s_f: Sequence[Tensor], s_b: Tensor) -> Tensor:
        """`decode` with a foreground code for each mask; the masks sum to at most 1 (`composed_hadain`)."""
        grids = [resize_mask(m, (c.shape[-2], c.shape[-1])) for m in masks]
        return at_least_float32(self.decoder(composed_hadain(grids, c, [self.mlp_f(s) for s in s_f], self.mlp_b(s_b))))

    @contextmanager
    def frozen_statistics(self) -> Iterator[None]:
        """Batch norm uses batch statistics but leaves the running ones alone (the discriminator's step)."""
        norms = [m for m in self.modules() if isinstance(m, BatchNorm)]
        for norm in norms:
            norm.track = False
        try:
            yield
        finally:
            for norm in norms:
                norm.track = True


def regions(x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """x^f and x^b of Eq. 1 under a mask of any resolution, each B x 3 x H x W."""
    return split_regions(x, resize_mask(m, (x.shape[-2], x.shape[-1])))

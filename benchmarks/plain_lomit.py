"""One training step of LOMIT as the paper writes it, to compare the package with.

Every image goes through every network on its own (no stacking, nothing shared between the directions), means,
variances and upsampling are written out, and R1 is a matrix over all pairs of pixels.  Nothing is imported from
lomit: networks are functions of named tensors, so a faster implementation that keeps the names of its weights is
checked against the same lines.  Batch norm is in eval mode.  Slow; meant for float64, tiny widths and batches of two
or three.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-5
"""What every normalisation adds to a variance."""


Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Choices:
    """The settings that decide the formulas; the fields of `LomitConfig` of the same names."""

    cell: int = 4
    masks: str = "cosegmentation"
    mask_norm: str = "batch"
    gamma: str = "exp"
    shared_style_head: bool = False
    attributes: tuple[str, ...] = ()
    mask_sees: str = "content"
    masks_learn: str = "translation"
    r3_of: str = "area"
    r1_alike: float | None = None
    style_cls_of: str = "all"
    cls: float = 1.0
    gp: float = 10.0
    sc: float = 1.0
    x: float = 10.0
    r1: float = 0.1
    r2: float = 0.01
    r3: float = 0.0001
    style_cls: float = 0.0
    source_cls: float = 0.0
    keep: float = 0.0
    commit: float = 0.0
    erase: float = 0.0


@dataclass
class Codes:
    """What one image turns into: content, mask on the content's grid, and its style codes under that mask."""

    c: Tensor
    m: Tensor
    s_f: Tensor
    s_b: Tensor


class PlainLomit:
    """The networks and the two objectives.

    Args:
        tensors: parameters and buffers of a translator by name (`generator.`..., `discriminator.`...); gradients
            reach those that require them.
        choices: settings.
    """

    def __init__(self, tensors: Mapping[str, Tensor], choices: Choices) -> None:
        self.tensors, self.choices = tensors, choices

    # Layers.

    def weight(self, name: str) -> tuple[Tensor, Tensor]:
        return self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]

    def blocks(self, prefix: str) -> int:
        """How many numbered children a sequence has weights for (the highest number, plus one)."""
        names = [n[len(prefix) + 1 :].split(".")[0] for n in self.tensors if n.startswith(f"{prefix}.")]
        return 1 + max(int(n) for n in names if n.isdigit())

    def conv(self, name: str, x: Tensor, stride: int = 1, padding: int = 0, mode: str = "reflect") -> Tensor:
        w, b = self.weight(name)
        if padding:
            x = F.pad(x, (padding,) * 4, mode="reflect" if mode == "reflect" else "constant")
        return F.conv2d(x, w, b, stride)

    def linear(self, name: str, x: Tensor) -> Tensor:
        w, b = self.weight(name)
        return x @ w.T + b

    def affine(self, name: str, x: Tensor) -> Tensor:
        w, b = self.weight(name)
        return w[:, None, None] * x + b[:, None, None]

    def instance_norm(self, name: str, x: Tensor) -> Tensor:
        return self.affine(name, standardise(x, (2, 3)))

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        return self.affine(name, standardise(x, (1, 2, 3)))

    def mask_norm(self, name: str, x: Tensor) -> Tensor:
        if self.choices.mask_norm == "none":
            return x
        if self.choices.mask_norm == "group":
            groups = next(g for g in (8, 4, 2, 1) if x.shape[1] % g == 0)
            return self.affine(name, standardise(x.unflatten(1, (groups, -1)), (2, 3, 4)).flatten(1, 2))
        mean, var = self.tensors[f"{name}.running_mean"], self.tensors[f"{name}.running_var"]
        return self.affine(name, (x - mean[:, None, None]) / (var[:, None, None] + EPS).sqrt())

    def residual(self, name: str, x: Tensor, norm: Callable[[str, Tensor], Tensor]) -> Tensor:
        h = norm(f"{name}.body.0.1", self.conv(f"{name}.body.0.0", x, padding=1)).relu()
        return x + norm(f"{name}.body.1.1", self.conv(f"{name}.body.1.0", h, padding=1))

    def upsample(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    @property
    def halvings(self) -> int:
        """How often the content encoder halves the image."""
        return {1: 0, 2: 1, 4: 2, 8: 3}[self.choices.cell]

    def full_size(self, m: Tensor) -> Tensor:
        return bilinear(m, self.choices.cell)

    # Networks of the generator.

    def E_c(self, x: Tensor) -> Tensor:
        name = "generator.content_encoder"
        stem = [(1, 3)] + [(2, 1)] * self.halvings
        for i, (stride, padding) in enumerate(stem):
            x = self.instance_norm(f"{name}.{i}.1", self.conv(f"{name}.{i}.0", x, stride, padding)).relu()
        for i in range(len(stem), self.blocks(name)):
            x = self.residual(f"{name}.{i}", x, self.instance_norm)
        return x

    def E_s(self, region: str, x: Tensor) -> Tensor:
        """E_s^f or E_s^b of a region's image: B x 3 x H x W -> B x S."""
        name = "generator.style_encoders"
        head = f"{name}.{'foreground' if self.choices.shared_style_head else region}"
        for i, (stride, padding) in enumerate(((1, 3), (2, 1), (2, 1))):
            x = F.leaky_relu(self.conv(f"{name}.stem.{i}.0", x, stride, padding), 0.01)
        for i in range(2):
            x = F.leaky_relu(self.conv(f"{head}.{i}.0", x, 2, 1), 0.01)
        w, b = self.weight(f"{head}.3")
        return x.mean((2, 3)) @ w[:, :, 0, 0].T + b

    def mask(
        self,
        c: Tensor,
        c_other: Tensor,
        x: Tensor,
        other: Tensor,
        labels: Pair | None = None,
    ) -> Tensor:
        """m = A(c_attn(c_other) * c), of an image x seen beside another one; with the labels of both where known."""
        if self.choices.masks == "ones":
            return torch.ones_like(c[:, :1])
        name = "generator.cosegmentation"
        seen = c if self.choices.masks == "own" else c_other
        hidden = self.linear(f"{name}.attention.0", seen.mean((2, 3)))
        if self.choices.mask_sees == "content":
            return self.attend(c, hidden)
        # Beyond the paper: the largest of the masks of all places in which the two differ.
        if labels is None or labels[0].min() < 0 or labels[1].min() < 0:
            here, there = ((self.tell(self.E_s("foreground", image)) > 0).to(c.dtype) for image in (x, other))
            if labels is None:
                there = torch.where((here == there).all(1)[:, None], 1 - here, there)
            else:
                here, there = (torch.where(y < 0, t, y) for y, t in zip(labels, (here, there), strict=True))
        else:
            here, there = labels
        if x is other:
            there = 1 - here
        m = torch.zeros_like(c[:, :1])
        for place in self.places:
            differs = (here[:, place] != there[:, place]).any(1).to(c.dtype)
            seen_of = 10 * self.tensors[f"{name}.differences"][place].sum(0)
            m = torch.maximum(m, differs[:, None, None, None] * self.attend(c, hidden + seen_of))
        return m

    @property
    def places(self) -> list[list[int]]:
        """The attributes of each place, those whose names end in the same word; facial hair lies in one."""
        beard = ("Beard", "No_Beard", "Facial_Hair", "Goatee", "Mustache", "Sideburns", "5_o_Clock_Shadow")
        ends = ["beard" if name in beard else name.split("_")[-1] for name in self.choices.attributes]
        return [[k for k, end in enumerate(ends) if end == place] for place in dict.fromkeys(ends)]

    def attend(self, c: Tensor, hidden: Tensor) -> Tensor:
        """A(c_attn * c), where c_attn = sigmoid(W2 tanh(hidden)) and `hidden` is W1 GAP(c_other) in the paper."""
        name = "generator.cosegmentation"
        h = self.linear(f"{name}.attention.2", hidden.tanh()).sigmoid()[:, :, None, None] * c
        last = self.blocks(f"{name}.A") - 1
        for i in range(last):
            h = self.mask_norm(f"{name}.A.{i}.1", self.conv(f"{name}.A.{i}.0", h, padding=1)).relu()
        return self.conv(f"{name}.A.{last}", h).sigmoid()

    def tell(self, s_f: Tensor) -> Tensor:
        """Logits of the attributes, from foreground codes (beyond the paper)."""
        seen = self.choices.mask_sees == "differences"
        return self.linear("generator.told_attributes" if seen else "style_classifier", s_f)

    def beta_gamma(self, region: str, s: Tensor) -> tuple[Tensor, Tensor]:
        name = f"generator.mlp_{region[0]}.layers"
        for i in (0, 2):
            s = F.leaky_relu(self.linear(f"{name}.{i}", s), 0.01)
        out = self.linear(f"{name}.4", s)
        beta, gamma = out[:, : out.shape[1] // 2], out[:, out.shape[1] // 2 :]
        return beta, (gamma / 2).exp() if self.choices.gamma == "exp" else gamma

    def adain(self, c: Tensor, region: str, s: Tensor) -> Tensor:
        beta, gamma = self.beta_gamma(region, s)
        return gamma[:, :, None, None] * standardise(c, (2, 3)) + beta[:, :, None, None]

    def G(self, c: Tensor, m: Tensor, s_f: Tensor, s_b: Tensor) -> Tensor:
        """The decoder on HAdaIN's output (Eq. 4)."""
        h = m * self.adain(c, "foreground", s_f) + (1 - m) * self.adain(c, "background", s_b)
        name = "generator.decoder"
        count = self.blocks(name)
        first = count - 1 - self.halvings
        for i in range(first):
            h = self.residual(f"{name}.{i}", h, self.layer_norm)
        for i in range(first, count - 1):
            h = self.upsample(h)
            h = self.layer_norm(f"{name}.{i}.1", self.conv(f"{name}.{i}.0", h, padding=2)).relu()
        return self.conv(f"{name}.{count - 1}.0", h, padding=3).tanh()

    # The discriminator.

    def trunk(self, x: Tensor) -> Tensor:
        for i in range(self.blocks("discriminator.trunk")):
            x = F.leaky_relu(self.conv(f"discriminator.trunk.{i}.0", x, 2, 1, "zeros"), 0.01)
        return x

    def D_src(self, x: Tensor) -> Tensor:
        return self.D(x)[0]

    def D_cls(self, x: Tensor) -> Tensor:
        return self.D(x)[1]

    def D(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D_src, one value a patch, and D_cls, B x A."""
        h = self.trunk(x)
        told = self.conv("discriminator.class_head", h)[:, :, 0, 0]
        return self.conv("discriminator.source_head", h, 1, 1, "zeros"), told

    # Steps.

    def codes(self, pair: Pair, labels: Pair | None = None) -> tuple[Codes, Codes]:
        """Content, mask and styles of two images, each seen beside the other (Eqs. 1 and 2)."""
        contents, masks = self.contents_and_masks(pair, labels)
        if self.choices.masks_learn != "translation":  # beyond the paper: a translation has no say in its masks
            masks = (masks[0].detach(), masks[1].detach())
        one, two = (Codes(c, m, self.s_f(x, m), self.s_b(x, m)) for x, c, m in zip(pair, contents, masks, strict=True))
        return one, two

    def contents_and_masks(self, pair: Pair, labels: Pair | None = None) -> tuple[Pair, Pair]:
        c1, c2 = self.E_c(pair[0]), self.E_c(pair[1])
        m1 = self.mask(c1, c2, *pair, labels)
        m2 = self.mask(c2, c1, *pair[::-1], labels and labels[::-1])
        return (c1, c2), (m1, m2)

    def s_f(self, x: Tensor, m: Tensor) -> Tensor:
        """E_s^f(x^f)."""
        return self.E_s("foreground", self.full_size(m) * x)

    def s_b(self, x: Tensor, m: Tensor) -> Tensor:
        """E_s^b(x^b)."""
        return self.E_s("background", (1 - self.full_size(m)) * x)

    def translations(self, one: Codes, two: Codes) -> Pair:
        """x_{1->2} and x_{2->1} = G(h(E_c(x1), E_s^f(x2^f), E_s^b(x1^b))) and the other way."""
        return self.G(one.c, one.m, two.s_f, one.s_b), self.G(two.c, two.m, one.s_f, two.s_b)

    def translation(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x_{1->2} alone."""
        (c1, _), (m1, m2) = self.contents_and_masks((x1, x2))
        return self.G(c1, m1, self.s_f(x2, m2), self.s_b(x1, m1))

    def discriminator_total(self, pair: Pair, labels: Pair, alphas: Pair) -> Tensor:
        """L_D = -L_adv + lambda_cls L_cls_r, summed over 1 -> 2 and 2 -> 1 (Eqs. 10, 11 and 16).

        Args:
            pair: x1 and x2, B x 3 x H x W.
            labels: y1 and y2, B x A, -1 where not annotated.
            alphas: the share of x1 in its interpolation with x_{1->2}, B; and that of x2.
        """
        total = pair[0].new_zeros(())
        with torch.no_grad():
            codes = self.codes(pair, labels)
            fakes = self.translations(*codes)
        for here in (0, 1):
            x, y, fake, alpha = pair[here], labels[here], fakes[here], alphas[here][:, None, None, None]
            x_hat = (alpha * x + (1 - alpha) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(self.D_src(x_hat).sum(), x_hat, create_graph=True)
            penalty = ((slope.pow(2).sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
            (real_src, real_cls), (fake_src, fake_cls) = self.D(x), self.D(fake)
            adv = real_src.mean() - fake_src.mean() - self.choices.gp * penalty
            total = total - adv + self.choices.cls * cross_entropy(real_cls, y)
            if self.choices.erase:  # beyond the paper
                total = total + self.choices.cls * cross_entropy(self.D_cls((1 - self.full_size(codes[here].m)) * x), y)
            if self.choices.source_cls:  # beyond the paper
                total = total + self.choices.source_cls * cross_entropy(fake_cls, y)
        return total

    def regions_total(self, pair: Pair, labels: Pair) -> Tensor:
        """Beyond the paper: D_cls learns the labels of the images and of both of their regions."""
        with torch.no_grad():
            _, masks = self.contents_and_masks(pair, self.of_one_place(labels)[1])
        total = pair[0].new_zeros(())
        for x, m, y in zip(pair, masks, labels, strict=True):
            for seen in (x, self.full_size(m) * x, (1 - self.full_size(m)) * x):
                total = total + cross_entropy(self.D_cls(seen), y)
        return total

    def masks_total(self, pair: Pair, labels: Pair) -> Tensor:
        """Beyond the paper: what teaches A alone, summed over both images."""
        w = self.choices
        labels, seen = self.of_one_place(labels)
        contents, masks = self.contents_and_masks(pair, seen)
        total = pair[0].new_zeros(())
        for i in (0, 1):
            x, c, m = pair[i], contents[i], masks[i]
            unlike = labels[i] != labels[1 - i]
            known = unlike & (labels[i] >= 0) & (labels[1 - i] >= 0)
            inside, outside = self.full_size(m) * x, (1 - self.full_size(m)) * x
            total = total + w.cls * cross_entropy(self.D_cls(inside), labels[i].masked_fill(~unlike, -1))
            total = total + w.erase * doubt(self.D_cls(outside))[known].sum() / len(x)
            total = total + self.mask_terms(m, c)
        return total

    def of_one_place(self, labels: Pair) -> tuple[Pair, Pair]:
        """Labels that differ in one place for each pair, and what the masks are told then; as given without places.

        Elsewhere labels are not annotated.  The place is drawn among those in which a pair differs.
        """
        if self.choices.mask_sees == "content":
            return labels, labels
        one, two = (y.clone() for y in labels)
        told = torch.zeros_like(one)
        chances = torch.rand(len(one), len(self.places))
        for i in range(len(one)):
            unlike = (one[i] != two[i]) & (one[i] >= 0) & (two[i] >= 0)
            differing = [k for k, place in enumerate(self.places) if unlike[place].any()]
            if differing:
                drawn = max(differing, key=lambda k: float(chances[i, k]))
                told[i, self.places[drawn]] = unlike[self.places[drawn]].to(told.dtype)
        one[told == 0] = two[told == 0] = -1
        return (one, two), (torch.zeros_like(told), told)

    def mask_terms(self, m: Tensor, c: Tensor) -> Tensor:
        """R1 (Eq. 13), R3 (Eq. 15) and, beyond the paper, R1 among alike pixels and the masks' commitment."""
        w = self.choices
        smooth = mask_smoothness_matrix(m, c) if w.r1_alike is None else agreement(m, c, w.r1_alike)
        return w.r1 * smooth + w.r3 * (m.mean() if w.r3_of == "area" else side(m)) + w.commit * (m * (1 - m)).mean()

    def generator_total(self, pair: Pair, labels: Pair) -> Tensor:
        """L_G of Eq. 16, summed over 1 -> 2 and 2 -> 1; arguments as in `discriminator_total`."""
        w = self.choices
        codes = self.codes(pair, labels)
        fakes = self.translations(*codes)
        back = self.codes(fakes, labels[::-1])
        total = pair[0].new_zeros(())
        for here, there in ((0, 1), (1, 0)):
            x, code, fake, again = pair[here], codes[here], fakes[here], back[here]
            m_self = self.mask(code.c, code.c, x, x)
            if w.masks_learn != "translation":
                m_self = m_self.detach()
            own = self.G(code.c, m_self, code.s_f, code.s_b)
            cycled = self.G(again.c, again.m, back[there].s_f, again.s_b)
            src, cls = self.D(fake)
            total = total - src.mean() + w.cls * cross_entropy(cls, labels[there])
            total = total + w.sc * l1(again.s_f, codes[there].s_f)  # Eq. 5
            total = total + w.sc * l1(again.s_b, code.s_b)  # Eq. 6
            total = total + w.sc * l1(again.c, code.c)  # Eq. 7
            total = total + w.x * l1(cycled, x) + w.x * l1(own, x)  # Eqs. 8 and 9
            if w.style_cls:  # beyond the paper
                told = self.tell(code.s_f)
                alike = (labels[here] == labels[there]) & (w.style_cls_of == "differing")
                total = total + w.style_cls * cross_entropy(told, labels[here].masked_fill(alike, -1))
                if w.mask_sees == "differences":
                    told = self.tell(self.E_s("foreground", x))
                    total = total + w.style_cls * cross_entropy(told, labels[here])
            if w.erase and w.masks_learn == "translation":  # beyond the paper
                told = self.D_cls((1 - self.full_size(code.m)) * x)
                differs = (labels[here] != labels[there]) & (labels[here] >= 0) & (labels[there] >= 0)
                total = total + w.erase * doubt(told)[differs].sum() / len(x)
            if w.keep:  # beyond the paper
                total = total + w.keep * ((1 - self.full_size(code.m)) * (fake - own.detach()).abs()).mean()
            for m in (code.m, again.m, m_self):
                if w.masks_learn == "translation":
                    total = total + self.mask_terms(m, code.c)
        return total - w.r2 * l1(codes[0].s_f, codes[1].s_f)  # Eq. 14


def standardise(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over these dimensions; the variance divides by N."""
    centred = x - x.mean(dims, keepdim=True)
    return centred / (centred.pow(2).mean(dims, keepdim=True) + EPS).sqrt()


def side(m: Tensor) -> Tensor:
    """Mean over masks of the square root of their area plus 1/64 (beyond the paper)."""
    return torch.stack([(one.mean() + 1 / 64).sqrt() for one in m]).mean()


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (a - b).abs().mean()


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """-log D_cls(y | x), summed over the annotated attributes, mean over the batch (Eqs. 11 and 12)."""
    entropy = -torch.where(y == 1, logits, -logits).sigmoid().log()
    return torch.where(y < 0, torch.zeros_like(entropy), entropy).sum(1).mean()


def doubt(logits: Tensor) -> Tensor:
    """Beyond the paper: the divergence of a fair coin from p, KL(1/2 || p)."""
    p = logits.sigmoid()
    return -(p * (1 - p)).sqrt().log() - math.log(2)


def mask_smoothness_matrix(m: Tensor, c: Tensor) -> Tensor:
    """Eq. 13 over all pairs of pixels: mean over i, j of |m_i - m_j| cos(c_i, c_j); no gradient reaches c."""
    m, c = m.flatten(1), c.detach().flatten(2)
    c = c / c.norm(dim=1, keepdim=True)
    distance = (m[:, :, None] - m[:, None, :]).abs()
    return (distance * (c.transpose(1, 2) @ c)).mean()


def agreement(m: Tensor, c: Tensor, alike: float) -> Tensor:
    """Not in the paper: how far each pixel's mask is from those of pixels with a cosine similarity above `alike`."""
    m, c = m.flatten(1), c.detach().flatten(2)
    c = c / c.norm(dim=1, keepdim=True)
    weight = (c.transpose(1, 2) @ c - alike).relu()
    distance = (m[:, :, None] - m[:, None, :]).abs()
    return ((weight * distance).sum(2) / weight.sum(2)).mean()


def bilinear(m: Tensor, times: int) -> Tensor:
    """B x 1 x h x w at `times` the size: output pixel k samples the input at (k + 0.5) / times - 0.5, clamped."""
    for dim in (2, 3):
        n = m.shape[dim]
        at = ((torch.arange(times * n, dtype=m.dtype, device=m.device) + 0.5) / times - 0.5).clamp(0, n - 1)
        low = at.floor().long()
        share = (at - low).view([-1 if d == dim else 1 for d in range(4)])
        m = (1 - share) * m.index_select(dim, low) + share * m.index_select(dim, (low + 1).clamp(max=n - 1))
    return m


def named_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, as `PlainLomit` takes them."""
    return dict(itertools.chain(module.named_parameters(), module.named_buffers()))

"""LOMIT's equations, one function each, and the terms its rivals share.

Functions see tensors only, never a network.  Images, codes and masks are batches; a "direction" is 1 -> 2
or 2 -> 1.  The two directions of a pair are stacked along the batch axis wherever a term is the same for
both, so a mean over the stack is the mean of the two directions and the caller doubles it to sum them
(paper: "L without superscript denotes (1 -> 2, 2 -> 1)").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.nn.blocks import at_least_float32, instance_normalised


def split_regions(x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 1: x^f = m * x, x^b = (1 - m) * x.  Images are B x 3 x H x W, masks B x 1 x H x W in [0, 1]."""
    foreground = m * x
    return foreground, x - foreground


def adain(c: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """Eq. 3: gamma * (c - mu(c)) / sigma(c) + beta, mean and standard deviation per channel over space.

    The content code is B x C x h x w, gamma and beta are B x C.
    """
    return gamma[:, :, None, None] * normalise_content(c, eps) + beta[:, :, None, None]


def normalise_content(c: Tensor, eps: float = 1e-5) -> Tensor:
    """(c - mu(c)) / sigma(c) of Eq. 3, B x C x h x w; statistics in float32 at least."""
    return instance_normalised(at_least_float32(c), eps)


def hadain(
    m: Tensor, c: Tensor, foreground: tuple[Tensor, Tensor], background: tuple[Tensor, Tensor], eps: float = 1e-5
) -> Tensor:
    """Eq. 4: m * AdaIN(c, s_f) + (1 - m) * AdaIN(c, s_b).

    The input's mask on the content's grid is B x 1 x h x w in [0, 1], the content code B x C x h x w; foreground and
    background are (gamma, beta) of MLP_f(s_f) and MLP_b(s_b), each B x C.
    """
    return composed_hadain([m], c, [foreground], background, eps)


def composed_hadain(
    masks: Sequence[Tensor],
    c: Tensor,
    foregrounds: Sequence[tuple[Tensor, Tensor]],
    background: tuple[Tensor, Tensor],
    eps: float = 1e-5,
) -> Tensor:
    """Eq. 4 with K foregrounds: sum_k m_k * AdaIN(c, s_f^k) + (1 - sum_k m_k) * AdaIN(c, s_b); K = 1 is Eq. 4.

    Computed as AdaIN(c, s_b) + sum_k m_k * (AdaIN(c, s_f^k) - AdaIN(c, s_b)).  Arguments are those of `hadain`, K
    masks, whose sum is at most 1 (`shares`), and K foregrounds.
    """
    gamma_b, beta_b = (each[:, :, None, None] for each in background)
    pairs = list(zip(masks, foregrounds, strict=True))
    # The content leads every product: so the result keeps its order in memory, which convolutions after it go by.
    normalised = normalise_content(c, eps)
    # The foregrounds are summed before the background is added: of two, either may come first, to the bit.
    moved = reduce(
        torch.add,
        [
            (normalised * (gamma_f[:, :, None, None] - gamma_b) + (beta_f[:, :, None, None] - beta_b)) * m
            for m, (gamma_f, beta_f) in pairs
        ],
    )
    return normalised * gamma_b + beta_b + moved


def shares(masks: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Masks that compete for an image, made to sum to the largest of them: m_k <- max_j m_j * m_k / sum_j m_j.

    So the sum never exceeds 1, where one mask alone is more than 0 it stays as it is, and K equal masks get 1/K of it
    each.  Not in the paper: it has one foreground.  Masks, shares and their sum are B x 1 x h x w in [0, 1].
    """
    stacked = torch.stack(list(masks))
    largest, total = stacked.amax(0), stacked.sum(0)
    # Nothing is shared where all are 0.  One mask is divided by itself, which is 1 to the bit.
    factor = torch.where(total > 0, largest / total, 0.0)
    return list(stacked * factor), largest


def foreground_style_loss(s_f_translated: Tensor, s_f_exemplar: Tensor) -> Tensor:
    """Eq. 5: E || E_s^f(x_{1->2}^f) - E_s^f(x_2^f) ||_1, as a mean over code entries.  Codes are B x S."""
    return F.l1_loss(s_f_translated, s_f_exemplar)


def background_style_loss(s_b_translated: Tensor, s_b_input: Tensor) -> Tensor:
    """Eq. 6: E || E_s^b(x_{1->2}^b) - E_s^b(x_1^b) ||_1, as a mean over code entries.  Codes are B x S."""
    return F.l1_loss(s_b_translated, s_b_input)


def content_loss(c_translated: Tensor, c_input: Tensor) -> Tensor:
    """Eq. 7: E || E_c(x_{1->2}) - E_c(x_1) ||_1, as a mean over the code, B x C x h x w."""
    return F.l1_loss(c_translated, c_input)


def cycle_loss(x_cycled: Tensor, x: Tensor) -> Tensor:
    """Eq. 8: E || x_{1->2->1} - x_1 ||_1, as a mean over pixels."""
    return F.l1_loss(x_cycled, x)


def self_reconstruction_loss(x_self: Tensor, x: Tensor) -> Tensor:
    """Eq. 9: E || x_{1->1} - x_1 ||_1, as a mean over pixels."""
    return F.l1_loss(x_self, x)


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The Wasserstein part of -L_adv (Eq. 10): E[D_src(x_{1->2})] - E[D_src(x_1)], means over patches and batch."""
    return fake.mean() - real.mean()


def generator_adversarial_loss(fake: Tensor) -> Tensor:
    """The part of L_adv (Eq. 10) that depends on the generator: -E[D_src(x_{1->2})]."""
    return -fake.mean()


def interpolate_images(real: Tensor, fake: Tensor, alpha: Tensor | None = None) -> Tensor:
    """x_hat of Eq. 10: a uniformly drawn point between each image and its own translation, B x 3 x H x W.

    `alpha` is the share of the real image, B; drawn where it is not given.
    """
    if alpha is None:
        alpha = torch.rand(len(real), device=real.device, dtype=real.dtype)
    alpha = alpha.view(-1, 1, 1, 1)
    return (alpha * real + (1 - alpha) * fake).detach()


def gradient_penalty(gradient: Tensor) -> Tensor:
    """The penalty of Eq. 10: E[(|| grad D_src(x_hat) ||_2 - 1)^2].

    D_src gives one value a patch; the gradient is that of their sum with respect to x_hat, B x 3 x H x W, as in
    StarGAN, whose D this is.
    """
    norm = at_least_float32(gradient).flatten(1).norm(dim=1)
    return ((norm - 1) ** 2).mean()


def classification_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Eqs. 11 and 12: binary cross entropy of D_cls's logits, summed over attributes, mean over the batch.

    Labels are B x A in {0, 1}; -1 (not annotated) takes no part.
    """
    known = (y >= 0).to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, y.clamp(min=0).to(logits.dtype), reduction="none")
    return (entropy * known).sum() / len(logits)


def mask_smoothness(m: Tensor, c: Tensor) -> Tensor:
    """Eq. 13, R1: mean over pixel pairs of |m_i - m_j| times the cosine similarity of their content.

    The paper writes a sum over the pairs; this is the mean (what the authors ran), averaged over masks and batch.
    Masks are B x K x h x w; an image's K masks share its content code, B x C x h x w, which no gradient reaches.  N x N
    values for N pixels: training takes `losses.smoothness.fast_mask_smoothness`.
    """
    m, c = m.flatten(2), F.normalize(c.detach().flatten(2), dim=1)
    distance = (m[..., :, None] - m[..., None, :]).abs()
    return (distance * (c.transpose(1, 2) @ c)[:, None]).mean()


def style_contrast(s_f_1: Tensor, s_f_2: Tensor) -> Tensor:
    """Eq. 14, R2: -E || s_1^f - s_2^f ||_1, as a mean over code entries.  Codes are B x S."""
    return -F.l1_loss(s_f_1, s_f_2)


def mask_area(m: Tensor) -> Tensor:
    """Eq. 15, R3: the mean of the mask (the paper: its 1-norm, N times as large)."""
    return m.mean()


def mask_side(m: Tensor) -> Tensor:
    """Not in the paper: the mean side of squares as large as the masks, ... x h x w in [0, 1], in sides of the image.

    sqrt(area + 1/64): a pixel costs the more, the smaller the region.  By the area alone, the weight that keeps cheeks
    out of a smile's mask empties the hair's (docs/experiments.md, 20).  Below an eighth of the image's side the cost
    rises no further, or a mask that lost its region would not find back.
    """
    return (m.mean(dim=(-2, -1)) + 1 / 64).sqrt().mean()


def mask_doubt(m: Tensor) -> Tensor:
    """Not in the paper: the mean of m (1 - m), 0 where a mask has committed itself to 0 or 1, 1/4 at one half."""
    return (m * (1 - m)).mean()


def telltale_background(logits: Tensor, y: Tensor, y_partner: Tensor) -> Tensor:
    """Not in the paper: what D_cls tells from the background of attributes in which a pair differs.

    The cross entropy to one half, above its least value ln 2, of D_cls's logits of x^b; summed over attributes, mean
    over the batch.  Labels of the images and of their partners are B x A in {0, 1}; -1 is not annotated.
    """
    differs = (y >= 0) & (y_partner >= 0) & (y != y_partner)
    doubt = F.softplus(logits) - logits / 2 - math.log(2)
    return (doubt * differs).sum() / len(logits)


def background_change(x_translated: Tensor, x_self: Tensor, m: Tensor) -> Tensor:
    """Not in the paper: E || (1 - m) * (x_{1->2} - x_{1->1}) ||_1, what a translation changes outside its mask.

    Measured from the self translation, not from the input: what the decoder cannot draw is no change.  No gradient
    reaches x_{1->1}.  Where the mask costs lambda_3 a pixel and a change outside it the weight of this term, a pixel is
    worth a mask where it changes by more than their ratio: the term is linear in m, so masks leave the middle.  Images
    are B x 3 x H x W, masks of the inputs B x 1 x H x W in [0, 1].
    """
    return ((1 - m) * (x_translated - x_self.detach()).abs()).mean()


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of `weights[name] * terms[name]`; every weight needs its term.

    Terms of weight 0 stay out of the graph, so that an ablation costs nothing and an infinite term that was
    switched off can't make the sum NaN.
    """
    parts = [weight * terms[name] for name, weight in weights.items() if weight]
    return torch.stack(parts).sum()


def discriminator_objective(terms: Mapping[str, Tensor], lambda_cls: float = 1.0, lambda_gp: float = 10.0) -> Tensor:
    """Eq. 16, first line: L_D = -L_adv + lambda_cls L_cls_r.

    The terms are `critic` (the Wasserstein part of -L_adv), `penalty` and `cls_r`, each summed over the directions.
    """
    return weighted_sum(terms, {"critic": 1.0, "penalty": lambda_gp, "cls_r": lambda_cls})


def generator_objective(
    terms: Mapping[str, Tensor],
    lambda_cls: float = 1.0,
    lambda_sc: float = 1.0,
    lambda_x: float = 10.0,
    lambda_1: float = 0.1,
    lambda_2: float = 0.01,
    lambda_3: float = 0.0001,
) -> Tensor:
    """Eq. 16, second line.

    L_G = L_adv + lambda_cls L_cls_f + lambda_sc (L_sf + L_sb + L_c) + lambda_x (L_cyc + L_x) + lambda_1 R1 + lambda_2
    R2 + lambda_3 R3, of terms that are summed over the directions.
    """
    weights = {"adv": 1.0, "cls_f": lambda_cls, "s_f": lambda_sc, "s_b": lambda_sc, "c": lambda_sc}
    weights |= {"cyc": lambda_x, "x": lambda_x, "R1": lambda_1, "R2": lambda_2, "R3": lambda_3}
    return weighted_sum(terms, weights)

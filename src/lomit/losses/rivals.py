"""Terms beyond LOMIT's: of MUNIT (Huang et al., ECCV 2018), DRIT (Lee et al., ECCV 2018; DRIT++, IJCV 2020) and
StarGAN v2 (Choi et al., CVPR 2020).

Functions see tensors only, never a network.  A discriminator with several scales gives a list of score maps; the terms
are means over a map's patches and the batch, summed over the scales, as in both methods' published code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def least_squares_critic(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """LSGAN, discriminator (Mao et al., 2017; MUNIT 3.2): sum over scales of E[(D(x) - 1)^2] + E[D(G)^2].

    Score maps of each scale are B x 1 x h x w.
    """
    return torch.stack([(r - 1).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True)]).sum()


def least_squares_adversarial(fake: Sequence[Tensor]) -> Tensor:
    """LSGAN, generator: sum over scales of E[(D(G) - 1)^2].  Maps are B x 1 x h x w."""
    return torch.stack([(f - 1).square().mean() for f in fake]).sum()


def sigmoid_critic(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """The original GAN's discriminator (DRIT, L_adv^domain): sum over scales of -E[log D(x)] - E[log(1 - D(G))].

    StarGAN v2's (Eq. 1) where there is one scale and one logit an image.  D is the sigmoid of logits, B x 1 x h x w or
    B.
    """
    return torch.stack([F.softplus(-r).mean() + F.softplus(f).mean() for r, f in zip(real, fake, strict=True)]).sum()


def sigmoid_adversarial(fake: Sequence[Tensor]) -> Tensor:
    """The generator's non-saturating part: sum over scales of -E[log D(G)].  Logits are B x 1 x h x w or B."""
    return torch.stack([F.softplus(-f).mean() for f in fake]).sum()


def content_confusion(logits: Tensor) -> Tensor:
    """DRIT, L_adv^content for the encoders: -E[1/2 log D_c(c) + 1/2 log(1 - D_c(c))], least where D_c can't tell."""
    return 0.5 * (F.softplus(-logits) + F.softplus(logits)).mean()


def style_loss(s_translated: Tensor, s_drawn: Tensor) -> Tensor:
    """Style reconstruction (MUNIT; StarGAN v2, Eq. 2), DRIT's latent regression: E || E_s(G(c, s)) - s ||_1, a mean.

    The code found in a translation and the one that it was made with are B x S.
    """
    return F.l1_loss(s_translated, s_drawn)


def kl_to_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)), B x S, summed over a code's entries, mean over the batch (DRIT, L_KL)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()


def small_codes(code: Tensor) -> Tensor:
    """Mean square of a code of any shape: DRIT's regularisation of contents and of feature-wise style codes."""
    return code.square().mean()


def mode_seeking(images: tuple[Tensor, Tensor], codes: tuple[Tensor, Tensor], eps: float = 1e-5) -> Tensor:
    """Mode seeking (Mao et al., CVPR 2019; DRIT++): 1 / (d(G(c, s), G(c, s')) / d(s, s') + eps), d: mean |difference|.

    Two translations of the same inputs, B x 3 x H x W, and their codes, B x S; eps keeps equal images finite.
    """
    ratio = F.l1_loss(*images) / F.l1_loss(*codes)
    return 1 / (ratio + eps)


def style_diversity(image: Tensor, other: Tensor) -> Tensor:
    """StarGAN v2, Eq. 3: E || G(x, s) - G(x, s_2) ||_1, mean over values, B x 3 x H x W; the generator maximises it.

    No gradient reaches the other image, as in the published code.
    """
    return F.l1_loss(image, other.detach())


def r1_penalty(slope: Tensor) -> Tensor:
    """R1 (Mescheder et al., 2018; StarGAN v2): E || grad_x D(x) ||^2 / 2 at real images, summed over an image's values.

    The slope is the gradient of each image's logit with respect to the image, B x 3 x H x W.
    """
    return 0.5 * slope.square().flatten(1).sum(1).mean()

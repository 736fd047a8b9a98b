"""Eq. 13, R1, without its matrices over all pairs of pixels, and the term that may stand in its place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.nn.blocks import at_least_float32

_PAIRS_UP_TO = 400
"""Pixels up to which R1's slopes are faster summed over all pairs than by sorting (`lomit bench r1`)."""


def _slopes_by_pairs(m: Tensor, c: Tensor) -> Tensor:
    """`_slopes_by_sorting` over all N^2 pairs: 2 / N^2 sum_i sign(m_k - m_i) c_k.c_i."""
    similarity = c @ c.transpose(-2, -1)
    signs = torch.sign(m[..., :, None] - m[..., None, :])
    return (2 / m.shape[-1] ** 2) * signs.mul_(similarity[..., None, :, :]).sum(-1)


def _slopes_by_sorting(m: Tensor, c: Tensor) -> Tensor:
    """dR1/dm_k of Eq. 13 without its N x N matrices, from masks, B x K x N, and unit content, B x N x C.

    With the pixels sorted by mask value it is 2 / N^2 c_k.(sum of c_i with m_i < m_k - sum of c_i with m_i > m_k), two
    prefix sums.  Pixels of equal value take no part: the derivative of |0| is taken as 0.
    """
    n, channels = c.shape[-2:]
    ordered, order = m.sort(dim=-1)
    expanded = order[..., None].expand(*order.shape, channels)
    c = c[:, None].expand_as(expanded).gather(2, expanded)
    sums = F.pad(c.cumsum(2), (0, 0, 1, 0))
    first, last = torch.searchsorted(ordered, ordered), torch.searchsorted(ordered, ordered, right=True)
    difference = sums.gather(2, first[..., None].expand_as(c))
    difference += sums.gather(2, last[..., None].expand_as(c))
    difference -= sums[:, :, -1:]
    slopes = (2 / n**2) * difference.mul_(c).sum(-1)
    return torch.empty_like(slopes).scatter_(-1, order, slopes)


def _from_slopes(slopes_of: Callable[[Tensor, Tensor], Tensor], m: Tensor, c: Tensor) -> Tensor:
    """A term that is homogeneous of degree 1 in the masks, as Eq. 13 is, from its slopes: sum_k m_k dR/dm_k (Euler).

    The slopes are constant between ties, so the product with them has the term's own gradient, too.  `slopes_of` gives
    them, B x K x N, from masks, B x K x N, and unit content, B x N x C; the mean over images and masks is returned.
    """
    m = at_least_float32(m).flatten(2)
    with torch.no_grad():
        c = F.normalize(at_least_float32(c).flatten(2), dim=1).transpose(1, 2)
        if m.device.type == "cpu" and not torch.compiler.is_compiling():
            # One image at a time stays in the processor's cache: up to three times as fast as the whole batch.
            slopes = torch.cat([slopes_of(m[i : i + 1], c[i : i + 1]) for i in range(len(m))])
        else:
            slopes = slopes_of(m, c)
    return (m * slopes).sum(-1).mean()


def fast_mask_smoothness(m: Tensor, c: Tensor) -> Tensor:
    """Eq. 13 and its gradient: what `losses.lomit.mask_smoothness` gives, in less time and memory.

    For N pixels, where N is large, O(N log N + N C) time and O(N C) memory.
    """
    by_pairs = m.shape[-2] * m.shape[-1] <= _PAIRS_UP_TO
    return _from_slopes(_slopes_by_pairs if by_pairs else _slopes_by_sorting, m, c)


_ANCHORS = 256
"""Pixels that `mask_agreement` starts from, drawn anew each time where there are more."""


def mask_agreement(m: Tensor, c: Tensor, alike: float) -> Tensor:
    """Not in the paper: R1 among alike pixels, each with a say of its own; arguments as for Eq. 13.

    The mean over pixels i of sum_j w_ij |m_i - m_j| / sum_j w_ij, where w_ij = max(0, cos(c_i, c_j) - alike).  In Eq.
    13 a pixel is bound to a region by its similarity times the region's size: a mouth hangs on the skin around it eight
    times as hard as on itself (docs/experiments.md, 18), and unlike regions are driven apart.  Here pixels below the
    cut, a cosine similarity below 1, take no part, and a small region is bound to itself as hard as a large one.  No
    gradient reaches c.  Of more than 256 pixels that many are drawn as i: the mean's expectation stays.
    """
    n = m.shape[-2] * m.shape[-1]
    anchors = torch.arange(n, device=c.device) if n <= _ANCHORS else torch.randperm(n, device=c.device)[:_ANCHORS]

    def slopes_of(m: Tensor, c: Tensor) -> Tensor:
        weight = (c[:, anchors] @ c.transpose(-2, -1)).sub_(alike).clamp_(min=0)
        # A pixel without content is like none, not even itself.
        total = weight.sum(-1, keepdim=True).clamp_(min=torch.finfo(weight.dtype).tiny)
        weight /= total.mul_(len(anchors))
        signs = torch.sign(m[:, :, anchors, None] - m[:, :, None, :]).mul_(weight[:, None])
        slopes = -signs.sum(-2)
        return slopes.index_add_(-1, anchors, signs.sum(-1))

    return _from_slopes(slopes_of, m, c)

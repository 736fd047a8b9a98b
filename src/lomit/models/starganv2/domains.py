"""StarGAN v2's domains, and how a step draws images from them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from lomit.data.sampling import Domains, Sampler
from lomit.errors import LomitError


def _of(labels: np.ndarray) -> np.ndarray:
    if labels.shape[1] == 1:
        return labels[:, 0].astype(np.int64)
    has = labels == 1
    return np.where((has.sum(1) == 1) & (labels >= 0).all(1), has.argmax(1), -1)


EXCLUSIVE = Domains(_of)
"""One attribute: images without it (0), with it (1).  Several: one domain each, images with it and no other."""


def domain_of(labels: Tensor) -> Tensor:
    """Domain of each label, int64, B, without waiting for the device.  B x A; each is in a domain."""
    return (labels[:, 0] > 0).long() if labels.shape[1] == 1 else labels.argmax(1)


def domain_of_checked(labels: Tensor, attributes: tuple[str, ...]) -> Tensor:
    """The same of labels that a user gave; LomitError where one of them is in no domain."""
    # On the meta device, where costs are counted, labels have no values.
    if not labels.is_meta and (EXCLUSIVE.of(labels.cpu().numpy()) < 0).any():
        raise LomitError(
            f"StarGAN v2 translates to one domain: set one of {', '.join(attributes)} to 1, the others to 0"
        )
    return domain_of(labels)


class DomainTriples(Sampler):
    """x1 of a source domain; x2 and x3, two references, of a target domain that is drawn for itself.

    Pairs number p go through the K x K pairs of domains in turn: source p mod K, target (p / K) mod K.  So sources,
    references and their combinations are in equal shares, whatever the domains' sizes, and within each domain the three
    images walk through shuffled epochs of their own.
    """

    images = 3

    def sides_of(self, labels: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """The rows of each domain."""
        found = EXCLUSIVE.of(labels[indices])
        sides = tuple(indices[found == domain] for domain in range(max(2, labels.shape[1])))
        for domain, side in enumerate(sides):
            if not len(side):
                raise LomitError(
                    f"no image to train on is in domain {domain}; one attribute makes two domains (0 without, 1 with "
                    "it), several make one each, of the images with this one and no other"
                )
        return sides

    def indices_at(self, step: int) -> tuple[np.ndarray, ...]:
        """Rows of x1, x2 and x3 of one step, int64, batch_size / world each."""
        p, k = self.positions(step), len(self.sides)
        source, target = p % k, p // k % k
        # How many earlier pairs had this source or this target.
        of_source, of_target = p // k, p // k**2 * k + p % k
        return (self._drawn(source, 0, of_source), self._drawn(target, 1, of_target), self._drawn(target, 2, of_target))

    def _drawn(self, domains: np.ndarray, stream: int, positions: np.ndarray) -> np.ndarray:
        rows = np.empty_like(positions)
        for domain, side in enumerate(self.sides):
            here = domains == domain
            rows[here] = self.walk(side, stream, positions[here])
        return rows

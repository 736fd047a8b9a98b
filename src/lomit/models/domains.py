"""What methods with two domains share: images with none of the attributes (0) and images with all of them (1)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lomit.data.sampling import NONE_OR_ALL, TwoDomainPairs
from lomit.errors import LomitError
from lomit.models.base import Batch, Guide, Trainable, Translation, Translator
from lomit.models.registry import method_of

DOMAINS = (0, 1)


class TwoDomainGenerator(nn.Module):
    """Encoders and decoders of which each domain has its own, or its own part."""

    @abstractmethod
    def content(self, x: Tensor, domain: int) -> Tensor:
        """Content codes of images of this domain: B x 3 x H x W in [-1, 1] -> B x C x H/4 x W/4."""

    @abstractmethod
    def style(self, x: Tensor, domain: int) -> Tensor:
        """Style codes of images of this domain, without any random draw: B x 3 x H x W -> B x S."""

    @abstractmethod
    def decode(self, c: Tensor, s: Tensor, domain: int) -> Tensor:
        """Images of this domain, B x 3 x H x W in [-1, 1]."""


class TwoDomainTranslator(Translator):
    """Translates between two domains, by an exemplar of the target domain or by a style drawn from N(0, 1)."""

    generator: TwoDomainGenerator
    guides = frozenset({"exemplar", "label", "random"})
    domains = NONE_OR_ALL
    style_dim: int

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        """The content of x, the style of the exemplar, the decoder of the target domain.

        A label with any attribute set means domain 1; without labels every image goes from domain 0 to domain 1.
        Without `source` each input comes from the domain that it is not translated to.
        """
        name, style = method_of(self.config).title, guide.style
        if guide.masks is not None:
            raise LomitError(f"{name} has no masks; leave out the masks you gave")
        if (guide.exemplar is None) == (style is None):
            raise LomitError(f"{name} takes its style from an exemplar image or a random style; give one of them")
        label, source = guide.label, guide.source
        target = torch.ones(len(x), dtype=torch.long, device=x.device) if label is None else domain_of(label)
        origin = 1 - target if source is None else domain_of(source)
        g = self.generator
        if guide.exemplar is not None:
            style = by_domain(g.style, target, guide.exemplar)
        assert style is not None
        return Translation(by_domain(g.decode, target, by_domain(g.content, origin, x), style))

    def random_styles(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """N(0, 1), count x S."""
        return torch.randn(count, self.style_dim, generator=generator)


class TwoDomainTrainable(TwoDomainTranslator, Trainable):
    """In a training batch x1 is of domain 0 and x2 of domain 1; the labels are not looked at."""

    sampler = TwoDomainPairs

    def random_for(self, x: Tensor) -> Tensor:
        """A style for each of these images, drawn where they are, B x S."""
        return torch.randn(len(x), self.style_dim, device=x.device, dtype=x.dtype)

    @torch.no_grad()
    def sample(self, batch: Batch) -> dict[str, Tensor]:
        """Domain 0 into 1 by the exemplar and by a random style, the way back, self reconstruction, and 1 into 0."""
        g, (x1, x2) = self.generator, (batch.x1, batch.x2)
        random = self.random_styles(len(x1), torch.Generator().manual_seed(0)).to(x1)
        c1, s1, s2 = g.content(x1, 0), g.style(x1, 0), g.style(x2, 1)
        result = g.decode(c1, s2, 1)
        return {
            "input": x1,
            "exemplar": x2,
            "result": result,
            "random": g.decode(c1, random, 1),
            "cycle": g.decode(g.content(result, 1), s1, 0),
            "self": g.decode(c1, s1, 0),
            "exemplar's": g.decode(g.content(x2, 1), s1, 0),
        }


def domain_of(label: Tensor) -> Tensor:
    """Domain of each label, int64, B: 1 where it has any attribute.  B x A, 1, 0 or -1."""
    return (label > 0).any(1).long()


def by_domain(run: Callable[..., Tensor], domains: Tensor, *tensors: Tensor) -> Tensor:
    """`run(rows of the tensors, domain)` for the rows of each domain (B), put back into their order."""
    order = [(domains == domain).nonzero().flatten() for domain in DOMAINS]
    parts = [run(*(t[rows] for t in tensors), d) for d, rows in zip(DOMAINS, order, strict=True) if len(rows)]
    return torch.cat(parts)[torch.cat(order).argsort()]

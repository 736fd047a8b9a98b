"""DRIT's networks: content encoders that share their last block, style encoders, decoders in two modes, D_content."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.models.domains import DOMAINS, TwoDomainGenerator
from lomit.models.drit.config import DritConfig
from lomit.nn.blocks import ConvBlock, LayerNorm, ResidualBlock, at_least_float32, plain_instance_norm, with_planes
from lomit.nn.encoders import StyleEncoder, mlp


class ContentNoise(nn.Module):
    """Adds N(0, 1) to the content while training, so that the decoders can't hide an image in it; nothing in use.

    The method needs the difference between the two modes: it is part of how the encoders are trained.
    """

    def forward(self, c: Tensor) -> Tensor:
        return c + torch.randn_like(c) if self.training else c


class _PooledBlock(nn.Module):
    """Half the size: leaky, conv 3 x 3, leaky, conv 3 x 3, mean pool; beside it mean pool, conv 1 x 1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LeakyReLU(0.2), ConvBlock(c_in, c_in, 3, 1, 1), nn.LeakyReLU(0.2), ConvBlock(c_in, c_out, 3, 1, 1)
        )
        self.shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.body(x), 2) + self.shortcut(F.avg_pool2d(x, 2))


class VariationalStyleEncoder(nn.Module):
    """The concat mode's style encoder: mean and log variance of a code.  B x 3 x H x W -> B x S, B x S."""

    def __init__(self, width: int, style_dim: int) -> None:
        super().__init__()
        w = width
        self.trunk = nn.Sequential(
            ConvBlock(3, w, 4, 2, 1),
            _PooledBlock(w, 2 * w),
            _PooledBlock(2 * w, 3 * w),
            _PooledBlock(3 * w, 4 * w),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.mean = nn.Linear(4 * w, style_dim)
        self.log_var = nn.Linear(4 * w, style_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.trunk(x)
        return at_least_float32(self.mean(h)), at_least_float32(self.log_var(h))


def _upsample(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, output_padding=1), LayerNorm(c_out), nn.ReLU(inplace=True)
    )


class ConcatDecoder(nn.Module):
    """Three residual blocks, two upsamplings, 1 x 1 convolution; the style is concatenated before each of the four.

    The residual block that both domains share comes before; see `DritGenerator.shared_decoder`.
    """

    def __init__(self, width: int, style_dim: int) -> None:
        super().__init__()
        s = style_dim
        wide = 4 * width + s
        half, quarter = (wide + s) // 2, ((wide + s) // 2 + s) // 2
        self.stages = nn.ModuleList(
            [
                nn.Sequential(*(ResidualBlock(wide, plain_instance_norm) for _ in range(3))),
                _upsample(wide + s, half),
                _upsample(half + s, quarter),
                nn.Conv2d(quarter + s, 3, 1),
            ]
        )

    def forward(self, c: Tensor, s: Tensor) -> Tensor:
        for stage in self.stages:
            c = stage(with_planes(c, s))
        return torch.tanh(at_least_float32(c))


class _StyledResidualBlock(nn.Module):
    """Twice: conv 3 x 3 with instance norm, the style concatenated, two 1 x 1 convolutions; then x is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            ConvBlock(channels, channels, 3, padding=1, norm=plain_instance_norm) for _ in range(2)
        )
        self.mixes = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * channels, 2 * channels, 1), nn.ReLU(), nn.Conv2d(2 * channels, channels, 1), nn.ReLU()
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        h = x
        for conv, mix in zip(self.convs, self.mixes, strict=True):
            h = mix(with_planes(conv(h), z))
        return x + h


class FeaturewiseDecoder(nn.Module):
    """Four residual blocks, each with its own vector out of the style code, two upsamplings, 1 x 1 convolution."""

    def __init__(self, width: int, style_dim: int, mlp_width: int) -> None:
        super().__init__()
        channels, blocks = 4 * width, 4
        self.mlp = nn.Sequential(*mlp(style_dim, mlp_width, mlp_width, blocks * channels))
        self.blocks = nn.ModuleList(_StyledResidualBlock(channels) for _ in range(blocks))
        self.upsampling = nn.Sequential(
            _upsample(channels, channels // 2), _upsample(channels // 2, channels // 4), nn.Conv2d(channels // 4, 3, 1)
        )

    def forward(self, c: Tensor, s: Tensor) -> Tensor:
        for block, z in zip(self.blocks, self.mlp(s).chunk(len(self.blocks), dim=1), strict=True):
            c = block(c, z)
        return torch.tanh(at_least_float32(self.upsampling(c)))


class DritGenerator(TwoDomainGenerator):
    """x_{1->2} = G_2(E^c(x_1), E_2^a(x_2)); the paper's "attribute" is called style here."""

    def __init__(self, config: DritConfig) -> None:
        super().__init__()
        w, channels, relu = config.width, 4 * config.width, nn.ReLU(inplace=True)
        concat = config.mode == "concat"
        self.content_encoders = nn.ModuleList(
            nn.Sequential(
                ConvBlock(3, w, 7, 1, 3, activation=nn.LeakyReLU(0.01, inplace=True)),
                ConvBlock(w, 2 * w, 3, 2, 1, plain_instance_norm, relu),
                ConvBlock(2 * w, channels, 3, 2, 1, plain_instance_norm, relu),
                *(ResidualBlock(channels, plain_instance_norm) for _ in range(config.res_blocks)),
            )
            for _ in DOMAINS
        )
        self.shared_encoder = nn.Sequential(ResidualBlock(channels, plain_instance_norm), ContentNoise())
        self.shared_decoder = ResidualBlock(channels, plain_instance_norm) if concat else None
        if concat:
            self.style_encoders = nn.ModuleList(VariationalStyleEncoder(w, config.style_dim) for _ in DOMAINS)
            self.decoders = nn.ModuleList(ConcatDecoder(w, config.style_dim) for _ in DOMAINS)
        else:
            self.style_encoders = nn.ModuleList(StyleEncoder(w, config.style_dim) for _ in DOMAINS)
            self.decoders = nn.ModuleList(FeaturewiseDecoder(w, config.style_dim, config.mlp_width) for _ in DOMAINS)
        init_convolutions(self)

    def content(self, x: Tensor, domain: int) -> Tensor:
        return self.shared_encoder(self.content_encoders[domain](x))  # type: ignore[no-any-return]

    def contents(self, x: Sequence[Tensor]) -> Tensor:
        """Content codes of B images of each domain, 2B x C x h x w, domain 0 first; what they share runs once."""
        own = [encoder(images) for encoder, images in zip(self.content_encoders, x, strict=True)]
        return self.shared_encoder(torch.cat(own))  # type: ignore[no-any-return]

    def style_distribution(self, x: Tensor, domain: int) -> tuple[Tensor, Tensor | None]:
        """Mean and log variance of the style codes, each B x S; no log variance in feature-wise mode."""
        found = self.style_encoders[domain](x)
        return found if isinstance(found, tuple) else (found, None)

    def style(self, x: Tensor, domain: int) -> Tensor:
        """The mean of the code.  The authors' test draws from the distribution: their exemplar mode is random."""
        return self.style_distribution(x, domain)[0]

    def decode(self, c: Tensor, s: Tensor, domain: int) -> Tensor:
        return self.decode_shared(self.shared_part(c), s, domain)

    def shared_part(self, c: Tensor) -> Tensor:
        """The part of decoding that both domains share, of contents of either, whatever the style."""
        return c if self.shared_decoder is None else self.shared_decoder(c)

    def decode_shared(self, p: Tensor, s: Tensor, domain: int) -> Tensor:
        """The rest of `decode`, from what `shared_part` gives."""
        return self.decoders[domain](p, s)  # type: ignore[no-any-return]

    def without_style_encoders(self) -> list[nn.Module]:
        """The parts that the second update of an iteration trains."""
        shared = [self.shared_encoder, *([] if self.shared_decoder is None else [self.shared_decoder])]
        return [self.content_encoders, self.decoders, *shared]


def content_depth(image_size: int) -> int:
    """Strided convolutions at this image size: three at 128 pixels, fewer below, so that 4 x 4 remain for the last."""
    return max(0, min(3, (image_size // 16).bit_length() - 1))


class ContentDiscriminator(nn.Sequential):
    """D_content: up to three 7 x 7 convolutions with stride 2, one 4 x 4, one 1 x 1; LeakyReLU 0.01.

    Content codes, B x C x h x w -> logits of their domain, B x 1 x h' x w' (1 x 1 up to 128 pixels).  Padding by 3:
    with the authors' 1 their three strided convolutions leave 1 x 1 of a code of 32 x 32 (128 pixels), too little for
    the 4 x 4 that follows.
    """

    def __init__(self, channels: int, image_size: int) -> None:
        def conv(kernel: int, stride: int, padding: int) -> ConvBlock:
            activation = nn.LeakyReLU(0.01, inplace=True)
            return ConvBlock(channels, channels, kernel, stride, padding, activation=activation)

        super().__init__(
            *(conv(7, 2, 3) for _ in range(content_depth(image_size))), conv(4, 1, 0), nn.Conv2d(channels, 1, 1)
        )

    def forward(self, c: Tensor) -> Tensor:
        return at_least_float32(super().forward(c))


def init_convolutions(module: nn.Module) -> None:
    """N(0, 0.02) for the weights of all convolutions; biases and linear layers keep PyTorch's initial values."""
    for m in module.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(m.weight, std=0.02)

"""How much the editor takes from one page, and from all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on what strangers can make the editor hold or do.

    Attributes:
        upload_bytes: size of an image file.
        upload_pixels: width times height of an image.
        kept: variants in a strip.
        sessions: pages at once.
        queue: requests that wait; further ones are turned away.
        idle: seconds after which a page that is silent makes room for another.
    """

    upload_bytes: int = 20 * 2**20
    upload_pixels: int = 40_000_000
    kept: int = 12
    sessions: int = 32
    queue: int = 40
    idle: float = 1800.0

    @property
    def body_bytes(self) -> int:
        """Size of a request: an image in base64, and what is told beside it."""
        return self.upload_bytes * 4 // 3 + 2**20

"""Faces that the editor offers: rendered ones, as unlike each other as the model's attributes allow."""

from __future__ import annotations

from collections.abc import Mapping

from lomit.errors import LomitError
from lomit.images import Picture
from lomit.recipe.portrait import Portrait, Rendered

SEED, SIZE = 2019, 256
WISHES: tuple[Mapping[str, int], ...] = (
    {"Black_Hair": 1, "Smiling": 0, "Facial_Hair": 0},
    {"Blond_Hair": 1, "Smiling": 1, "Facial_Hair": 0},
    {"Brown_Hair": 1, "Smiling": 1, "Facial_Hair": 1},
    {"Blond_Hair": 1, "Smiling": 0, "Facial_Hair": 0},
    {"Black_Hair": 1, "Smiling": 1, "Facial_Hair": 1},
    {"Brown_Hair": 1, "Smiling": 0, "Facial_Hair": 0},
)
"""What holds for each sample."""


class Sample:
    """A rendered face with a few words about it."""

    def __init__(self, index: int, words: str) -> None:
        self.words = words
        self.rendered = Rendered(SEED, index, SIZE)
        self.picture: Picture = self.rendered.picture()

    def source(self) -> Portrait:
        return Portrait(f"{self.rendered.name}.png", lambda: self.picture, rendered=self.rendered)


def draw_samples() -> list[Sample]:
    """The samples; none where the `avatars` extra is missing."""
    from lomit.data.avatars.draw import draw_face

    samples: list[Sample] = []
    try:
        for wish in WISHES:
            used = {sample.rendered.index for sample in samples}
            index = next(
                i
                for i in range(10_000)
                if i not in used and all(draw_face(SEED, i).labels[name] == value for name, value in wish.items())
            )
            samples.append(Sample(index, _words(wish)))
    except LomitError:
        return []
    return samples


def _words(labels: Mapping[str, int]) -> str:
    """`blond hair, smiling`."""
    held = [name.replace("_", " ").lower() for name, value in labels.items() if value]
    return ", ".join(held)

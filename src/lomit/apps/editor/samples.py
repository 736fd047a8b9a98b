"""Faces that the editor offers: rendered ones, as unlike each other as the model's attributes allow."""

from __future__ import annotations

from lomit.errors import LomitError
from lomit.images import Picture
from lomit.recipe.portrait import Portrait, Rendered

SEED, SIZE = 2019, 256
WISHES = (
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
    """The samples, each with words such as `blond hair, smiling`; none where the `avatars` extra is missing."""
    from lomit.data.avatars.draw import draw_face

    chosen: dict[int, str] = {}
    try:
        for wish in WISHES:
            fits = (i for i in range(10_000) if i not in chosen and wish.items() <= draw_face(SEED, i).labels.items())
            held = (name.replace("_", " ").lower() for name, value in wish.items() if value)
            chosen[next(fits)] = ", ".join(held)
        return [Sample(index, words) for index, words in chosen.items()]
    except LomitError:
        return []

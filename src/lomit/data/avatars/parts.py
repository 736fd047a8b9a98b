"""What a rendered face is made of: one table from the variants of two avatar styles to labels.

The styles are `avataaars` (Pablo Stanley) and `toon-head` (Johan Melin) of the package dicebear-styles;
`docs/credits-avatars.md` has their licences.  The look of each part is drawn on its own and with the same shares in
both styles, so no attribute tells anything about another but for those that exclude or imply each other - and an
open mouth, which is more often a smile than not, as it is among people.

Left out on purpose: hats, hijab and turban, bald heads, decorated or veiled hair (its colour must show), a fringe over
the brows, dark glasses (they hide the eyes), and variants that are hard to read at 64 pixels or mean two things at
once (grimace, concern, tongue, one raised brow, wink, a tuft on the chin).
"""

from __future__ import annotations

from dataclasses import dataclass

ATTRIBUTES = (
    *("Black_Hair", "Blond_Hair", "Brown_Hair", "Smiling", "Mustache", "Beard", "Facial_Hair", "No_Beard"),
    *("Eyeglasses", "AU1_2", "AU4", "AU12", "AU25_26", "AU43"),
)
"""Labels of every rendered face, in order.  CelebA's names where CelebA has them; the rest:

`Mustache`: a moustache and no beard.  `Beard`: a beard of any kind.  `Facial_Hair`: either.  `No_Beard`: neither,
which is CelebA's sense.  Action units (FACS): `AU1_2` both brows raised, `AU4` brows lowered, `AU12` lip corners
pulled up (always the same as `Smiling`), `AU25_26` mouth open, `AU43` eyes closed.
"""

GROUPS = (("Black_Hair", "Blond_Hair", "Brown_Hair"), ("Mustache", "Beard", "No_Beard"), ("AU1_2", "AU4"))
"""Attributes of which at most one holds."""


STYLES = ("avataaars", "toon-head")


@dataclass(frozen=True)
class Look:
    """One look that a part of the face can have.

    Attributes:
        share: probability of the look.
        labels: the attributes that hold because of it.
        variants: style -> the variants that show it, drawn with equal probability; None: the part is absent.
    """

    share: float
    labels: tuple[str, ...]
    variants: dict[str, tuple[str | None, ...]]


def _look(share: float, labels: tuple[str, ...], *variants: tuple[str | None, ...]) -> Look:
    return Look(share, labels, dict(zip(STYLES, variants, strict=True)))


PARTS: dict[str, tuple[Look, ...]] = {
    "mouth": (
        _look(0.15, ("Smiling", "AU12"), ("twinkle",), ("smile",)),
        _look(0.35, ("Smiling", "AU12", "AU25_26"), ("default", "smile"), ("laugh",)),
        _look(0.35, (), ("serious", "sad"), ("sad",)),
        _look(0.15, ("AU25_26",), ("screamOpen",), ("agape", "angry")),
    ),
    "facial_hair": (
        _look(0.5, ("No_Beard",), (None,), (None,)),
        _look(0.25, ("Mustache", "Facial_Hair"), ("moustacheFancy", "moustacheMagnum"), ("moustacheTwirl",)),
        _look(
            *(0.25, ("Beard", "Facial_Hair"), ("beardLight", "beardMedium", "beardMajestic")),
            ("chinMoustache", "fullBeard", "longBeard"),
        ),
    ),
    "eyes": (
        _look(0.7, (), ("default", "side", "squint", "surprised"), ("happy", "wide")),
        _look(0.3, ("AU43",), ("closed", "happy"), ("humble", "bow")),
    ),
    "brows": (
        _look(0.4, (), ("default", "defaultNatural"), ("neutral",)),
        _look(0.3, ("AU1_2",), ("raisedExcited", "raisedExcitedNatural"), ("happy",)),
        _look(0.3, ("AU4",), ("angry", "angryNatural"), ("angry",)),
    ),
    "glasses": (
        _look(0.75, (), (None,), (None,)),
        _look(0.25, ("Eyeglasses",), ("prescription01", "prescription02", "round"), ("round", "square")),
    ),
    "hair": (
        _look(
            1.0,
            (),
            (
                *("bob", "bun", "curly", "curvy", "dreads", "dreads01", "dreads02", "fro", "longButNotTooLong"),
                *("shaggy", "shaggyMullet", "shortCurly", "shortFlat", "shortRound", "shortWaved", "straight01"),
                *("straight02", "straightAndStrand", "theCaesar", "theCaesarAndSidePart"),
            ),
            ("bun", "sideComed", "spiky", "undercut"),
        ),
    ),
    "rear_hair": (_look(1.0, (), (None,), (None, "neckHigh", "shoulderHigh", "longStraight", "longWavy")),),
    "clothes": (
        _look(
            1.0,
            (),
            (
                *("blazerAndShirt", "blazerAndSweater", "collarAndSweater", "hoodie", "overall"),
                *("shirtCrewNeck", "shirtScoopNeck", "shirtVNeck"),
            ),
            ("dress", "openJacket", "shirt", "tShirt", "turtleNeck"),
        ),
    ),
}
"""Every part with its looks: the mapping from component variants to labels, and the shares."""

REGION_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Black_Hair", "Blond_Hair", "Brown_Hair"), ("hair", "facial_hair_now")),
    **dict.fromkeys(("Smiling", "AU12", "AU25_26"), ("mouth",)),
    **dict.fromkeys(("Mustache", "Beard", "Facial_Hair", "No_Beard"), ("facial_hair",)),
    "Eyeglasses": ("glasses",),
    "AU1_2": ("brows",),
    "AU4": ("brows",),
    "AU43": ("eyes",),
}
"""Attribute -> the regions in which a face changes when the attribute does.

Facial hair has the colour of the hair, as people's does, so another hair colour changes the hair *and the facial
hair that is on the face* (`facial_hair_now`), while getting or losing facial hair changes the place where it is or
would be (`facial_hair`).
"""

REGIONS = ("hair", "facial_hair", "facial_hair_now", "mouth", "eyes", "brows", "glasses", "skin")
"""Names of the true masks, in the order of their bits in the folder layout's `regions/*.png`."""

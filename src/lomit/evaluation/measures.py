"""Every measure of a pair's regions by its key: its heading, name, unit and digits; and rows of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from lomit.evaluation.results import Row
from lomit.metrics import identity
from lomit.stats import bootstrap


@dataclass(frozen=True)
class Measure:
    """How the rows of a measure are headed; fields as of `Row`."""

    section: str
    name: str
    unit: str = ""
    digits: int = 3


ACCURACY, KEPT, OWN, MASKS = "attribute accuracy, %", "background kept", "by the method's own mask (secondary)", "masks"
_PLACES = {"target": "{target}", "all": "all regions"}
MEASURES = {
    "changed_each": Measure(ACCURACY, "changed, each", "%", 1),
    "changed_all": Measure(ACCURACY, "changed, all at once", "%", 1),
    "every_each": Measure(ACCURACY, "every attribute, each", "%", 1),
    "every_all": Measure(ACCURACY, "every attribute, all at once", "%", 1),
    **{
        f"change_{key}{end}": Measure(KEPT, f"change outside {place}{words}", "0..255", 2)
        for key, place in _PLACES.items()
        for end, words in (("", ""), ("_self", ", self (floor)"), ("_above", ", above floor"))
    },
    "ssim": Measure(KEPT, "SSIM outside {target}", "", 4),
    "ssim_self": Measure(KEPT, "SSIM outside {target}, self (floor)", "", 4),
    "change_own": Measure(OWN, "change under 1 - m", "0..255", 2),
    "own_area": Measure(OWN, "mask area"),
    "identity": Measure("identity kept", identity.NAME),
    "same_person": Measure("identity kept", f"{identity.NAME}, same person", "%", 1),
    "iou": Measure(MASKS, "IoU with {target}"),
    "soft_iou": Measure(MASKS, "soft IoU with {target}"),
    **{
        f"mean_in_{region}": Measure(MASKS, f"mask's mean in {region}")
        for region in ("hair", "skin", "mouth", "other", "background")
    },
    "area": Measure(MASKS, "mask area (ceiling: the region's)"),
    "saturation": Measure(MASKS, "mask saturation"),
}
"""Key of a measure -> its heading."""

Values = dict[str, Tensor]
"""`COLUMN/measure` -> a value for each pair, N, nan where a pair does not count."""


@dataclass(frozen=True)
class RowsOf:
    """Makes rows of values of pairs.

    Attributes:
        people: N numbers of the person each pair's input shows.
        seed: of the bootstrap.
        values: of N pairs.
        target: what the region in which a pair differs is called.
    """

    people: Tensor
    seed: int
    values: Values
    target: str

    def rows(
        self, measures: Iterable[str], columns: Sequence[str], only: Tensor | None = None, of: str = ""
    ) -> list[Row]:
        """The rows of some measures, as far as there are values for them.

        Args:
            measures: their keys.
            columns: theirs.
            only: bool, N: the pairs that count; all of them by default.
            of: the kind of region in which these differ alone.
        """
        found = []
        for key in measures:
            values = {c: self.values[f"{c}/{key}"] for c in columns if f"{c}/{key}" in self.values}
            if only is not None:
                values = {column: v.where(only, float("nan")) for column, v in values.items()}
            cells = {column: bootstrap.mean(v, self.people, self.seed) for column, v in values.items()}
            if cells:
                m = MEASURES[key]
                name = m.name.format(target=self.target) + (f", pairs that differ in {of} alone" if of else "")
                found.append(Row(key, m.section, name, cells, of, m.unit, m.digits))
        return found

"""The protocols of `lomit evaluate`: what a user can choose of each, and how it is run.

A protocol's options stand here and nowhere else; what it measures is in the module of its name, or in `regional`, which
is loaded when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lomit.errors import LomitError, at_least

if TYPE_CHECKING:
    from lomit.evaluation.settings import Findings, Judges, Setting


EvaluatedSplit = Literal["test", "val"]
"""The part of the data that is measured; claims rest on `test`, choices (of a checkpoint, a weight) on `val`."""
PLACE = {"place": True}
"""Metadata of an option that says where files lie.  Their hash decides the numbers, and not the place."""


def no_classifier() -> LomitError:
    """The line where one is needed and none was given."""
    return LomitError("give --classifier, the folder of an attribute classifier; lomit classifier train makes one")


@dataclass
class EvaluationProtocol:
    """Base of all protocols.

    Attributes:
        name: of its command.
        module: where its numbers are computed; by default the one of its name.
    """

    name: ClassVar[str]
    module: ClassVar[str] = ""

    def check(self) -> None:
        """Raises `LomitError` for what can be known to be wrong before anything is loaded."""

    def prepare(self, given: Judges) -> Judges:
        """Adds what it measures with.  Raises `LomitError` where that is not to be had."""
        return given

    def run(self, setting: Setting) -> Findings:
        """Measures.  Raises `LomitError` for data that can't be measured so."""
        found: Findings = import_module(f"{__name__}.{self.module or self.name}").evaluate(setting, self)
        return found


@dataclass
class Judged(EvaluationProtocol):
    """A protocol in which a classifier says what images show."""

    classifier: str | None = field(default=None, metadata=PLACE)
    """Folder of an attribute classifier (`lomit classifier train`) that knows the model's attributes, or
    `attributes-avatars`, the one for rendered faces in the package."""

    def check(self) -> None:
        super().check()
        if self.classifier is None:
            raise no_classifier()

    def prepare(self, given: Judges) -> Judges:
        from lomit.classifier.network import load_classifier

        given = super().prepare(given)
        if self.classifier is None:
            return given
        classifier, card = load_classifier(self.classifier)
        classifier.columns(given.data.attributes)  # says which one it lacks
        config = classifier.config
        facts = {"name": Path(self.classifier).name, "network": config.network, "image_size": config.image_size}
        judges = given.judges | {"classifier": {**facts, "sha256": card.sha256}}
        return replace(given, classifier=classifier.to(given.device), judges=judges)


@dataclass
class Paired(EvaluationProtocol):
    """A protocol on pairs of faces."""

    pairs: int = 1_000
    """Pairs of faces, drawn from the split; with table1 of each class, with --labels of each region."""
    alike: tuple[str, ...] = ()
    """Attributes of the data in which no pair differs."""

    def check(self) -> None:
        super().check()
        at_least(1, pairs=self.pairs)


@dataclass
class Differing(Paired):
    """A protocol on pairs that differ in any attribute.

    Attributes:
        elsewhere: the regions of all attributes matter, and not only those in which a pair differs.
    """

    module = "regional"
    elsewhere: ClassVar[bool] = False
    differ: tuple[str, ...] = ()
    """Attributes of which every pair differs in one, in place of the model's.  With them models of different attributes
    are given the same pairs."""


@dataclass
class Labelled(Differing):
    """A protocol that needs to know where hair and mouth are."""

    labels: Path | None = field(default=None, metadata=PLACE)
    """Folder of label pictures of photographs (docs/protocols.md has their form): pairs then differ in hair alone or
    in the mouth alone, --pairs of each, and the labels say where these are."""

    def prepare(self, given: Judges) -> Judges:
        from lomit.evaluation.photographs import LabelPictures, dlib_landmarks, untold

        given = super().prepare(given)
        if self.labels is not None:
            pictures = LabelPictures(self.labels)
            facts: dict[str, object] = {"name": self.labels.name, "sha256": pictures.sha256()}
            given = replace(given, labels=pictures, judges=given.judges | {"labels": facts})
        expected = self.labels is None or (self.elsewhere and untold(given.data.attributes))
        return replace(given, find_landmarks=dlib_landmarks()) if expected and not given.source.region_names else given


@dataclass
class AvatarsProtocol(Differing, Judged):
    """Attribute accuracy, background and masks on rendered faces, with true regions.

    Each number stands beside that of the same weights without masks, a floor and a ceiling.
    """

    name = "avatars"


@dataclass
class Table1Protocol(Paired, Judged):
    """Inception score and accuracy of the paper's classes, as its Table 1 has them."""

    name = "table1"

    classes: tuple[str, ...] = ()
    """Classes to score, `A` or `A+B`.  By default the paper's, as the model knows them."""
    by: str | None = None
    """Attribute of the data, as Male: accuracies are also told apart by whether the inputs have it."""
    opposite: bool = False
    """In a class of several attributes, only pairs of an image with all of them and one with none."""


@dataclass
class StarganV2Protocol(Judged):
    """FID, KID, diversity and conditional inception score for every ordered pair of domains."""

    name = "starganv2"

    domains: tuple[str, ...] = ()
    """Attributes whose images are a domain each; one alone, those with and those without it.  By default the model's
    exclusive attributes, or its first."""
    exemplars: int = 10
    """Exemplars for each source."""
    sources: int | None = None
    """Most sources of a pair of domains; by default all of the split."""
    extractor: Literal["classifier", "inception-tv"] = "classifier"
    """Whose features are compared, the classifier's or torchvision's Inception-v3's."""
    weights: Path | None = field(default=None, metadata=PLACE)
    """Inception-v3's ImageNet weights; by default from torch's cache."""
    lpips_weights: Path | None = field(default=None, metadata=PLACE)
    """torchvision's AlexNet; with it LPIPS is measured."""
    modes: tuple[str, ...] = ()
    """Attributes of the classifier whose pattern the conditional inception score is of.  By default the model's."""

    def check(self) -> None:
        if self.extractor == "classifier":
            super().check()
        at_least(1, exemplars=self.exemplars)
        at_least(2, sources=self.sources)  # distances are of sets
        if self.modes and self.classifier is None:
            raise LomitError("--modes need --classifier, which knows them")
        if self.weights is not None and self.extractor == "classifier":
            raise LomitError("--weights go with --extractor inception-tv; the classifier brings its own")

    def prepare(self, given: Judges) -> Judges:
        from lomit.classifier.network import file_sha256
        from lomit.metrics.backbones import backbone_file
        from lomit.metrics.features import IMAGENET, inception_features
        from lomit.metrics.lpips import ALEXNET, load_lpips

        given = super().prepare(given)
        if given.classifier is not None:
            given.classifier.columns(self.modes)
        judges, extractor, lpips = dict(given.judges), given.extractor or given.classifier, given.lpips
        if self.extractor == "inception-tv":
            path = backbone_file("Inception-v3", IMAGENET, self.weights)
            extractor = inception_features(path).to(given.device)
            judges["inception"] = {"weights": path.name, "sha256": file_sha256(path)}
        if self.lpips_weights is not None:
            path = backbone_file("AlexNet (for LPIPS)", ALEXNET, self.lpips_weights)
            lpips = load_lpips(path).to(given.device)
            judges["lpips"] = {"weights": path.name, "sha256": file_sha256(path)}
        return replace(given, extractor=extractor, lpips=lpips, judges=judges)


@dataclass
class BackgroundProtocol(Labelled):
    """What changes where nothing was to change, and whether the person stays the same."""

    name = "background"
    elsewhere = True

    def prepare(self, given: Judges) -> Judges:
        from lomit.metrics.identity import FaceEmbedder

        given = super().prepare(given)
        if given.source.region_names:
            return given
        try:
            return replace(given, embed=FaceEmbedder().embed)
        except LomitError:
            if self.labels is None:
                raise
            return given  # the notes say that identity was not measured


@dataclass
class MasksProtocol(Labelled):
    """Overlap, area and saturation of the masks."""

    name = "masks"


PROTOCOLS: dict[str, type[EvaluationProtocol]] = {
    protocol.name: protocol
    for protocol in (AvatarsProtocol, Table1Protocol, StarganV2Protocol, BackgroundProtocol, MasksProtocol)
}
"""Name -> protocol."""

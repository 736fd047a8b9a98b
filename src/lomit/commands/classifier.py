"""`lomit classifier train`: the attribute classifier that `lomit evaluate` counts hits with; `label`: its answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lomit.classifier.config import ClassifierConfig, ClassifierTraining
from lomit.commands.groups import Compute, LabelledData
from lomit.commands.options import positional
from lomit.errors import LomitError

if TYPE_CHECKING:
    from lomit.classifier.network import AttributeClassifier
    from lomit.data.cache import Cache


@dataclass
class ClassifierTrain:
    """Train a classifier of face attributes, calibrate it, and validate it.

    It learns from the train split and is calibrated and validated on the val split: on people it has not seen, where
    the data says who is who.  `lomit evaluate` uses the test split.
    """

    data: LabelledData = field(default_factory=LabelledData)
    """Where the labelled faces are."""
    attributes: tuple[str, ...] = ()
    """Attributes to learn; by default all that the data has."""
    out: Path = Path("classifier")
    """Folder for the classifier: weights, config and card."""
    image_size: int = 64
    """Side of the images it looks at, in pixels."""
    network: Literal["small", "inception-v3"] = "small"
    """`small` learns from scratch on a CPU; `inception-v3` is fine-tuned and needs torchvision and ImageNet weights."""
    weights: str | None = None
    """Inception-v3's ImageNet weights, torchvision's .pth file or a .safetensors; by default from torch's cache."""
    width: int = 16
    """Channels of the small network's first convolution."""
    training: ClassifierTraining = field(default_factory=ClassifierTraining)
    """How it is trained."""
    overwrite: bool = False
    """Replace a classifier that is there."""
    compute: Compute = field(default_factory=lambda: Compute("cpu"))

    def main(self) -> int:
        """Trains, validates and saves; prints the scores and where it is.

        Raises:
            LomitError: for data, attributes, numbers and folders that can't be used.
        """
        network = ClassifierConfig(
            tuple(dict.fromkeys(self.attributes)), self.image_size, self.width, network=self.network
        )
        if self.weights is not None and network.network == "small":
            raise LomitError("the small network learns from scratch; --weights go with --network inception-v3")
        data = self.data.config(self.image_size, network.attributes)
        # Load torch: not before the options are known to be right.
        from lomit.classifier.card import card_text, scores_table
        from lomit.classifier.network import ClassifierCard, check_free, file_sha256, save_classifier
        from lomit.classifier.training import calibrate, train_classifier, validate
        from lomit.data.cache import build_cache
        from lomit.data.open import open_source, recognise
        from lomit.metrics.inception import inception_features
        from lomit.weights import WEIGHTS

        device = self.compute.start()
        # What is missing is said before images are decoded.
        imagenet = inception_features(self.weights) if network.network == "inception-v3" else None

        def start(classifier: AttributeClassifier) -> None:
            if imagenet is not None:
                classifier.trunk.load_state_dict(imagenet.state_dict())

        cache = build_cache(open_source(data), data)
        network = dataclasses.replace(network, attributes=cache.attributes)
        for split in ("train", "val"):
            if not len(cache.subset(split)):
                raise LomitError(f"{data.root} has no image of the {split} split; the classifier needs train and val")
        check_free(self.out, self.overwrite)
        print(f"{len(cache.subset('train'))} images to train on, {len(cache.subset('val'))} to validate")
        training = dataclasses.replace(self.training, lr=self.training.lr_for(network))
        classifier = train_classifier(cache, network, training, device, prepare=start)
        calibration = calibrate(classifier, cache, seed=training.seed, device=device)
        validation = validate(classifier, cache, seed=training.seed, device=device)
        scores = {name: values | calibration[name] for name, values in validation.items()}
        layout = recognise(Path(data.root or "").expanduser()) if data.kind == "auto" else data.kind
        card = ClassifierCard(self._origin(cache, training, layout), scores)
        table = scores_table(scores, cache.knows_people)
        save_classifier(classifier, card, card_text(classifier, card, table), self.out, self.overwrite)
        unseen = "people" if cache.knows_people else "images (who is shown is not known)"
        print(f"\n{table}\n\nvalidated on {unseen} it has not seen; the classifier is in {self.out}")
        print(f"sha256 of its weights: {file_sha256(self.out / WEIGHTS)}")
        return 0

    def _origin(self, cache: Cache, training: ClassifierTraining, layout: str) -> dict[str, Any]:
        """What the card says of the training."""
        import torch

        return {
            "data": " + ".join(Path(root).name for root in (self.data.root or "", *self.data.extra_roots)),
            "layout": layout,
            "images": {split: len(cache.subset(split)) for split in ("train", "val")},
            "people": {split: len(set(cache.identity[cache.subset(split)].tolist())) for split in ("train", "val")},
            "knows_people": cache.knows_people,
            "settings": dataclasses.asdict(training),
            "torch": torch.__version__,
        }


@dataclass
class ClassifierLabel:
    """Label face images that have no attributes as a classifier sees them.

    Writes the table that makes their folder a data set of test images.
    """

    images: Path = field(metadata=positional("FOLDER"))
    """Folder of face images, cut as the classifier's training images were."""
    classifier: str
    """Folder of the classifier."""
    out: Path | None = None
    """Table to write; by default attributes.csv in the folder."""
    sure: float = 0.5
    """Probability from which an attribute counts as there; up to 1 minus it as lacking, between as not annotated."""
    overwrite: bool = False
    """Replace a table that is there."""

    def main(self) -> int:
        """Writes the table and prints where it is.

        Raises:
            LomitError: for folders, images and numbers that can't be used, and where a table is there already.
        """
        if not 0.5 <= self.sure <= 1:
            raise LomitError(f"--sure must lie between 0.5 and 1; it is {self.sure:g}")
        import torch

        from lomit.classifier.network import load_classifier
        from lomit.data.transforms import centre_box, normalise, resize, to_uint8_chw
        from lomit.images import read_image, write_bytes
        from lomit.inference.pairs import list_images

        paths = list_images(self.images)
        classifier, _ = load_classifier(self.classifier)
        lines = [",".join(("image", *classifier.config.attributes, "split"))]
        with torch.no_grad():
            for path in paths:
                image = read_image(path).on_white()
                square = resize(image.crop(centre_box(image.size)), classifier.config.image_size)
                p = classifier.probabilities(normalise(torch.from_numpy(to_uint8_chw(square))[None]))[0]
                cells = ["1" if q >= self.sure else "0" if q <= 1 - self.sure else "" for q in p.tolist()]
                lines.append(",".join((path.name, *cells, "test")))
        out = self.out or self.images / "attributes.csv"
        write_bytes(out, ("\n".join(lines) + "\n").encode(), self.overwrite)
        print(f"{len(paths)} images labelled with {', '.join(classifier.config.attributes)}: {out}")
        return 0

"""`lomit classifier train`: the attribute classifier that `lomit evaluate` counts hits with; `label`: its answers."""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lomit.classifier.config import ClassifierConfig, ClassifierTraining
from lomit.commands.groups import Compute, LabelledData, check_file
from lomit.commands.options import positional
from lomit.errors import LomitError, at_least
from lomit.inference.batch import Tally, batched, count
from lomit.inference.pairs import list_images

if TYPE_CHECKING:
    from lomit.data.cache import Cache


@dataclass
class OnCpu(Compute):
    """What it is computed on."""

    device: str | None = "cpu"
    """cpu, cuda, cuda:1, mps (a Mac's GPU), ..."""


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
    compute: OnCpu = field(default_factory=OnCpu)

    def main(self) -> int:
        network = ClassifierConfig(
            tuple(dict.fromkeys(self.attributes)), self.image_size, self.width, network=self.network
        )
        if self.weights is not None and network.network == "small":
            raise LomitError("the small network learns from scratch; --weights go with --network inception-v3")
        data = self.data.config(self.image_size, network.attributes)
        from lomit.classifier.card import card_text, scores_table
        from lomit.classifier.network import ClassifierCard, check_free, file_sha256, save_classifier
        from lomit.classifier.training import calibrate, train_classifier, validate
        from lomit.data.cache import build_cache
        from lomit.data.open import open_source, recognise
        from lomit.inference.weights import WEIGHTS
        from lomit.metrics.features import inception_features

        device = self.compute.start()
        # What is missing is said before images are decoded.
        imagenet = inception_features(self.weights) if network.network == "inception-v3" else None

        cache = build_cache(open_source(data), data)
        network = dataclasses.replace(network, attributes=cache.attributes)
        for split in ("train", "val"):
            if not len(cache.subset(split)):
                raise LomitError(f"{data.root} has no image of the {split} split; the classifier needs train and val")
        check_free(self.out, self.overwrite)
        print(f"{len(cache.subset('train'))} images to train on, {len(cache.subset('val'))} to validate")
        training = dataclasses.replace(self.training, lr=self.training.lr_for(network))
        classifier = train_classifier(cache, network, training, device, imagenet)
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
    batch_size: int = 16
    """Images in the network at a time."""
    overwrite: bool = False
    """Replace a table that is there."""
    compute: OnCpu = field(default_factory=OnCpu)

    def main(self) -> int:
        at_least(1, batch_size=self.batch_size)
        if not 0.5 <= self.sure <= 1:
            raise LomitError(f"--sure must lie between 0.5 and 1; it is {self.sure:g}")
        paths = list_images(self.images)
        out = self.out or self.images / "attributes.csv"
        check_file(out, self.overwrite, paths)
        import torch
        from tqdm import tqdm

        from lomit.classifier.network import load_classifier
        from lomit.images import read_image, write_bytes
        from lomit.inference.squares import to_tensor

        device = self.compute.start()
        classifier, _ = load_classifier(self.classifier)
        classifier.to(device)
        attributes, size = classifier.config.attributes, classifier.config.image_size
        tally, table = Tally(), io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("image", *attributes, "split"))
        with torch.no_grad(), tqdm(total=len(paths), unit="image", disable=None) as bar:
            for batch in batched(paths, self.batch_size):
                squares = {}
                for path in batch:
                    try:
                        squares[path.name] = to_tensor([read_image(path)], size, device)
                    except LomitError as error:
                        tally.failed[str(path)] = str(error)
                bar.update(len(batch))
                if not squares:
                    continue
                probabilities = classifier.probabilities(torch.cat(list(squares.values())))
                for name, row in zip(squares, probabilities.tolist(), strict=True):
                    cells = ["1" if q >= self.sure else "0" if q <= 1 - self.sure else "" for q in row]
                    rows.writerow((name, *cells, "test"))
                tally.done += len(squares)
        if tally.done:
            write_bytes(out, table.getvalue().encode(), self.overwrite)
            print(f"{count(tally.done, 'image')} labelled with {', '.join(attributes)}: {out}")
        return tally.close("image")

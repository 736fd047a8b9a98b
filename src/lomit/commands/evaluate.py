"""`lomit evaluate MODEL`: measures a model and prints the numbers with their intervals."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from lomit import __version__
from lomit.classifier.network import AttributeClassifier, file_sha256, load_classifier
from lomit.commands.evaluation import RESULTS, TABLE, EvaluateOptions, check_options
from lomit.commands.options import parse
from lomit.config import to_dict
from lomit.data.cache import Cache, build_cache
from lomit.data.open import open_source
from lomit.data.source import Source
from lomit.errors import LomitError
from lomit.evaluation.labels import LabelPictures
from lomit.evaluation.landmarks import dlib_landmarks
from lomit.evaluation.results import Report
from lomit.evaluation.settings import Choices, Setting, no_classifier
from lomit.evaluation.store import Store, open_store
from lomit.images import write_bytes
from lomit.inference.device import usable_device
from lomit.metrics.backbones import backbone_file
from lomit.metrics.identity import FaceEmbedder
from lomit.metrics.inception import IMAGENET, inception_features
from lomit.metrics.lpips import ALEXNET, load_lpips
from lomit.models.base import Translator, method_of
from lomit.weights import WEIGHTS, find_model, load_pretrained

_PHOTOGRAPHS: dict[str, Callable[[], object]] = {
    "find_landmarks": dlib_landmarks,
    "embed": lambda: FaceEmbedder().embed,
}
"""What measures photographs, by its name in `Setting`."""


def run_evaluate(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if argv and not argv[0].startswith("-"):
        argv = ["--model", *argv]
    return evaluate(parse(EvaluateOptions, argv, "lomit evaluate"))


def evaluate(options: EvaluateOptions) -> int:
    """Runs the protocol, prints and writes the results.

    Raises:
        LomitError: for models, data, classifiers, numbers and folders that can't be used.
    """
    entry = check_options(options)
    device = usable_device(options.device)
    # Found once: a run that goes on may have another newest checkpoint by the end.
    folder = find_model(options.model)
    translator = load_pretrained(folder, device)
    config = translator.config
    if not config.attributes:
        raise LomitError(f"the model {options.model} does not say which attributes it was trained on")
    facts: dict[str, object] = {
        "protocol": options.protocol,
        "seed": options.seed,
        "model": {"name": folder.name, "sha256": file_sha256(folder / WEIGHTS), **_model_facts(translator)},
    }
    given = _networks(options, config.attributes, device, facts)
    data = options.data.config(config.image_size, config.attributes)
    source = open_source(data)
    cache = build_cache(source, data)
    facts["data"] = {"name": Path(data.root or "").name, "images": len(cache), "split": options.split}
    if options.labels is not None:
        given["labels"] = pictures = LabelPictures(Path(options.labels))
        facts["labels"] = {"name": Path(options.labels).name, "sha256": pictures.sha256()}
    # On label pictures the landmarks serve the other attributes' regions alone, which `masks` does without.
    photographs = entry.photographs if options.labels is None or options.protocol != "masks" else ()
    if photographs and not source.region_names:
        given |= {name: _PHOTOGRAPHS[name]() for name in sorted(photographs)}
    choices = Choices(**{f.name: getattr(options, f.name) for f in dataclasses.fields(Choices)})
    setting = Setting(
        translator, given.pop("classify", no_classifier), source, data, cache, device,  # type: ignore[arg-type]
        options.pairs, options.seed, options.batch_size, choices=choices, split=options.split, **given,  # type: ignore[arg-type]
    )  # fmt: skip
    decided = _decided(options, facts, device, source, cache)
    keeping = nullcontext(Store())
    if options.out is not None:
        keeping = open_store(Path(options.out), decided, options.keep_images, options.overwrite)  # type: ignore[assignment]
    with keeping as store:
        outcome = entry.run(dataclasses.replace(setting, store=store))
        report = Report(facts | outcome.facts, outcome.notes, outcome.rows, outcome.counted)
        table = f"`{folder.name}` by the protocol `{options.protocol}`\n\n{report.to_markdown()}\n"
        if options.out is not None:
            _write(Path(options.out), report.to_json(), table)
        store.finish()
    print(report.to_json() if options.json else table, end="")
    if options.out is not None:
        print(f"\nwritten to {options.out}/{RESULTS} and {TABLE}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _networks(
    options: EvaluateOptions, attributes: tuple[str, ...], device: torch.device, facts: dict[str, object]
) -> dict[str, object]:
    """The networks that measure, as arguments of `Setting`; what they are is added to the facts."""
    given: dict[str, object] = {}
    if options.classifier is not None:
        classifier, card = load_classifier(options.classifier)
        columns = classifier.columns(attributes)
        classifier.to(device)
        modes = classifier.columns(options.modes or attributes)
        given["classify"] = lambda x: classifier(x)[:, columns]
        given["modes"] = lambda x: classifier(x)[:, modes]
        given |= {"classifier_name": classifier.name, "extractor": classifier}
        facts["classifier"] = _classifier_facts(options.classifier, classifier, card.sha256)
    if options.extractor == "inception-tv":
        path = backbone_file("Inception-v3", IMAGENET, options.weights)
        given["extractor"] = inception_features(path).to(device)
        facts["inception"] = {"weights": path.name, "sha256": file_sha256(path)}
    if options.lpips_weights is not None:
        path = backbone_file("AlexNet (for LPIPS)", ALEXNET, options.lpips_weights)
        given["lpips"] = load_lpips(path).to(device)
        facts["lpips"] = {"weights": path.name, "sha256": file_sha256(path)}
    return given


def _decided(
    options: EvaluateOptions, facts: dict[str, object], device: torch.device, source: Source, cache: Cache
) -> dict[str, object]:
    """All that decides what an evaluation translates and scores, for taking it up."""
    names = (
        "pairs",
        "classes",
        "by",
        "opposite",
        "domains",
        "exemplars",
        "sources",
        "modes",
        "differ",
        "alike",
        "batch_size",
        "keep_images",
    )
    digest = hashlib.blake2b(source.fingerprint.encode(), digest_size=16)
    for array in (cache.labels, cache.split, cache.identity, cache.source_index):
        digest.update(array.tobytes())
    return {
        **facts,
        **{name: getattr(options, name) for name in names},
        "crop": options.data.crop,
        "images and labels": digest.hexdigest(),
        "device": device.type,
        "versions": [__version__, torch.__version__],
    }


def _write(out: Path, results: str, table: str) -> None:
    """Both files, the results last: where they are, everything is."""
    for name, text in ((TABLE, table), (RESULTS, results)):
        write_bytes(out / name, text.encode(), overwrite=True)


def _model_facts(translator: Translator) -> dict[str, object]:
    config = translator.config
    return {
        "method": method_of(config).name,
        "image_size": config.image_size,
        "attributes": list(config.attributes),
        "parameters": sum(p.numel() for p in translator.generator.parameters()),
        "config": to_dict(config),
    }


def _classifier_facts(name: str, classifier: AttributeClassifier, sha256: str) -> dict[str, object]:
    config = classifier.config
    return {"name": Path(name).name, "network": config.network, "image_size": config.image_size, "sha256": sha256}

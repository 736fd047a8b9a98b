"""`lomit evaluate MODEL`: measures a model and prints the numbers with their intervals."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lomit.commands.labelled import LabelledData, usable_device
from lomit.commands.options import parse
from lomit.config import to_dict
from lomit.data.cache import build_cache
from lomit.data.open import open_source
from lomit.errors import LomitError, did_you_mean
from lomit.images import write_file
from lomit.metrics.classifier import AttributeClassifier, file_sha256, load_classifier
from lomit.metrics.protocol import Protocol, Setting
from lomit.metrics.rendered import evaluate_rendered
from lomit.metrics.report import Report
from lomit.models.base import Translator, method_of
from lomit.weights import WEIGHTS, find_model, load_pretrained

PROTOCOLS: dict[str, Protocol] = {"avatars": evaluate_rendered}
"""Name -> what runs it."""
RESULTS, TABLE = "results.json", "results.md"


@dataclass
class EvaluateOptions:
    """Measure a model on pairs of unseen faces: usage `lomit evaluate MODEL [OPTIONS]`.

    The protocol `avatars` needs rendered faces with true regions (`lomit data avatars`): attribute accuracy, background
    kept, overlap of the masks, each beside the same weights without masks.  Prints a table, and writes it as results.md
    and, with every definition, count and version, as results.json.
    """

    model: str = "avatars"
    """Name of a model (see `lomit models`), its folder, a checkpoint, a training run's folder or a Hub id."""
    data: LabelledData = field(default_factory=LabelledData)
    """Where the labelled faces are; the test split is used."""
    protocol: str = "avatars"
    """What is measured, on what."""
    classifier: str | None = None
    """Folder of an attribute classifier (`lomit classifier train`) that knows the model's attributes."""
    pairs: int = 1_000
    """Pairs of faces, drawn from the test split."""
    seed: int = 0
    """Draws the pairs and the bootstrap; the same seed gives the same numbers."""
    out: str | None = None
    """Folder for results.json and results.md; without it the numbers are only printed."""
    json: bool = False
    """Print JSON instead of the table."""
    batch_size: int = 16
    """Pairs in the network at a time."""
    device: str | None = None
    """cpu, cuda, cuda:1, ...; by default CUDA where there is one."""
    overwrite: bool = False
    """Replace results that are in the folder."""


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
    protocol = _check(options)
    device = usable_device(options.device)
    # Found once: a run that goes on may have another newest checkpoint by the end.
    folder = find_model(options.model)
    sha256 = file_sha256(folder / WEIGHTS)
    translator = load_pretrained(folder, device)
    assert options.classifier is not None
    classifier, card = load_classifier(options.classifier)
    config = translator.config
    if not config.attributes:
        raise LomitError(f"the model {options.model} does not say which attributes it was trained on")
    columns = classifier.columns(config.attributes)
    data = options.data.config(config.image_size, config.attributes)
    source = open_source(data)
    cache = build_cache(source, data)
    classifier.to(device)

    def classify(x: Tensor) -> Tensor:
        return classifier(x)[:, columns]

    setting = Setting(
        translator, classify, source, data, cache, device, options.pairs, options.seed, options.batch_size
    )
    outcome = protocol(setting)
    facts: dict[str, object] = {
        "protocol": options.protocol,
        "seed": options.seed,
        "model": {"name": folder.name, "sha256": sha256, **_model_facts(translator)},
        "classifier": _classifier_facts(options.classifier, classifier, card.sha256),
        "data": {"name": Path(data.root or "").name, "images": len(cache)},
        **outcome.facts,
    }
    report = Report(facts, outcome.notes, outcome.rows)
    table = f"`{folder.name}` by the protocol `{options.protocol}`\n\n{report.to_markdown()}\n"
    if options.out is not None:
        for name, text in ((RESULTS, report.to_json()), (TABLE, table)):
            content = text.encode()
            write_file(Path(options.out) / name, lambda file, content=content: file.write(content), options.overwrite)  # type: ignore[misc]
    print(report.to_json() if options.json else table, end="")
    if options.out is not None:
        print(f"\nwritten to {options.out}/{RESULTS} and {TABLE}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _check(options: EvaluateOptions) -> Protocol:
    """What can be known to be wrong before anything is loaded."""
    if options.protocol not in PROTOCOLS:
        raise LomitError(
            f"unknown protocol '{options.protocol}'{did_you_mean(options.protocol, PROTOCOLS)}; "
            f"known: {', '.join(PROTOCOLS)}"
        )
    for name in ("pairs", "batch_size"):
        if getattr(options, name) < 1:
            raise LomitError(f"--{name.replace('_', '-')} must be at least 1; it is {getattr(options, name)}")
    if options.seed < 0:
        raise LomitError(f"--seed must not be negative; it is {options.seed}")
    if options.classifier is None:
        raise LomitError("give --classifier, the folder of an attribute classifier; lomit classifier train makes one")
    if options.out is not None:
        there = [name for name in (RESULTS, TABLE) if os.path.lexists(Path(options.out) / name)]
        if there and not options.overwrite:
            raise LomitError(f"{options.out} holds {there[0]} already; choose another --out or add --overwrite")
    return PROTOCOLS[options.protocol]


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

"""The options of `lomit evaluate`, and what can be known to be wrong with them before anything is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lomit.commands.groups import LabelledData
from lomit.errors import LomitError, did_you_mean
from lomit.evaluation.protocols import PROTOCOLS, Entry
from lomit.evaluation.settings import EvaluatedSplit
from lomit.evaluation.store import PARTS

RESULTS, TABLE = "results.json", "results.md"


@dataclass
class EvaluateOptions:
    """Measure a model on unseen faces: usage `lomit evaluate MODEL --protocol NAME [OPTIONS]`.

    Protocols: `avatars` (rendered faces with true regions: attribute accuracy, background kept, masks, each beside the
    same weights without masks), `table1` (inception score and accuracy of the paper's classes), `starganv2` (FID, KID,
    diversity between domains), `background` (what changes outside the target region), `masks`.  Prints a table; with
    --out it is kept as results.md and, with every definition, count and version, as results.json.  What is done is kept
    there, too: the same command takes up an evaluation that was stopped.
    """

    model: str = "avatars"
    """Name of a model (see `lomit models`), its folder, a checkpoint, a training run's folder or a Hub id."""
    data: LabelledData = field(default_factory=LabelledData)
    """Where the labelled faces are; --split says which part of them is used."""
    split: EvaluatedSplit = "test"
    """test: for claims; val: for choices on the way, as which checkpoint to keep, so that none is made on the test
    split."""
    protocol: str = "avatars"
    """What is measured, on what."""
    classifier: str | None = None
    """Folder of an attribute classifier (`lomit classifier train`) that knows the model's attributes, or
    `attributes-avatars`, the one for rendered faces in the package."""
    pairs: int = 1_000
    """Pairs of faces, drawn from the split; with table1, of each class."""
    classes: tuple[str, ...] = ()
    """table1: class to score, `A` or `A+B`; repeat the option for more.  By default the paper's, as the model
    knows them."""
    by: str | None = None
    """table1: attribute of the data, as Male: accuracies are also told apart by whether the inputs have it."""
    opposite: bool = False
    """table1: in a class of several attributes, only pairs of an image with all of them and one with none."""
    domains: tuple[str, ...] = ()
    """starganv2: attribute whose images are a domain; repeat the option, or give one for with and without.  By
    default the model's exclusive attributes."""
    exemplars: int = 10
    """starganv2: exemplars for each source."""
    sources: int | None = None
    """starganv2: most sources of a pair of domains; by default all of the split."""
    extractor: Literal["classifier", "inception-tv"] = "classifier"
    """starganv2: whose features are compared, the classifier's or torchvision's Inception-v3's."""
    weights: str | None = None
    """starganv2: Inception-v3's ImageNet weights; by default from torch's cache."""
    lpips_weights: str | None = None
    """starganv2: torchvision's AlexNet; with it LPIPS is measured."""
    modes: tuple[str, ...] = ()
    """starganv2: attribute of the classifier whose pattern the conditional inception score is of; repeat the option for
    more.  By default the model's."""
    differ: tuple[str, ...] = ()
    """Protocols on pairs: attribute of which every pair differs in one, in place of any of the model's; repeat the
    option for more.  With it models of different attributes are given the same pairs."""
    alike: tuple[str, ...] = ()
    """Protocols on pairs: attribute of the data in which no pair differs; repeat the option for more."""
    labels: str | None = None
    """background, masks: folder of label pictures of photographs (docs/evaluation.md has their form): pairs then differ
    in hair alone or in the mouth alone, --pairs of each, and the labels say where these are."""
    seed: int = 0
    """Draws the pairs and the bootstrap; the same seed gives the same numbers."""
    out: str | None = None
    """Folder for results.json, results.md and what an unfinished run has done; without it numbers are only printed."""
    keep_images: bool = False
    """Keep the translated images as PNG in the --out folder, under images/."""
    json: bool = False
    """Print JSON instead of the table."""
    batch_size: int = 16
    """Pairs in the network at a time."""
    device: str | None = None
    """cpu, cuda, cuda:1, ...; by default CUDA where there is one."""
    overwrite: bool = False
    """Replace results, and an unfinished evaluation with other settings, that are in the folder."""


def check_options(options: EvaluateOptions) -> Entry:
    """The protocol of these options.

    Raises:
        LomitError: for names, numbers and folders that can't be, and for options that mean nothing to the protocol.
    """
    if options.protocol not in PROTOCOLS:
        raise LomitError(
            f"unknown protocol '{options.protocol}'{did_you_mean(options.protocol, PROTOCOLS)}; "
            f"known: {', '.join(PROTOCOLS)}"
        )
    entry = PROTOCOLS[options.protocol]
    defaults = EvaluateOptions()
    every = frozenset().union(*(e.choices for e in PROTOCOLS.values()))
    for name in sorted(every - entry.choices):
        if getattr(options, name) != getattr(defaults, name):
            users = ", ".join(p for p, e in PROTOCOLS.items() if name in e.choices)
            raise LomitError(f"--{_dashed(name)} is for the protocol {users}, not for {options.protocol}")
    if not entry.pairs and options.pairs != defaults.pairs:
        raise LomitError(f"--pairs means nothing to the protocol {options.protocol}; give --sources and --exemplars")
    for name in ("pairs", "batch_size", "exemplars", "sources"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise LomitError(f"--{_dashed(name)} must be at least 1; it is {value}")
    if options.seed < 0:
        raise LomitError(f"--seed must not be negative; it is {options.seed}")
    features = "extractor" in entry.choices and options.extractor == "classifier"
    if options.classifier is None and (entry.classifier or features):
        raise LomitError("give --classifier, the folder of an attribute classifier; lomit classifier train makes one")
    if options.weights is not None and options.extractor == "classifier":
        raise LomitError("--weights go with --extractor inception-tv; the classifier brings its own")
    if options.out is None and options.keep_images:
        raise LomitError("--keep-images needs --out, the folder to keep them in")
    if options.out is not None and not options.overwrite:
        # The table is written first: beside an unfinished evaluation it is that one's own.
        names = [RESULTS] if os.path.lexists(Path(options.out) / PARTS) else [RESULTS, TABLE]
        there = [name for name in names if os.path.lexists(Path(options.out) / name)]
        if there:
            raise LomitError(f"{options.out} holds {there[0]} already; choose another --out or add --overwrite")
    return entry


def _dashed(name: str) -> str:
    return name.replace("_", "-")

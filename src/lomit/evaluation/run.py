"""One evaluation from start to end: what is measured with is loaded, the protocol runs, its results are kept."""

from __future__ import annotations

import dataclasses
import hashlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from lomit import __version__
from lomit.classifier.network import file_sha256
from lomit.config import DataConfig, NumberFormat, to_dict
from lomit.data.cache import build_cache
from lomit.data.decode import Geometry
from lomit.data.open import open_source
from lomit.errors import LomitError
from lomit.evaluation.protocols import PLACE, PROTOCOLS, EvaluatedSplit, EvaluationProtocol
from lomit.evaluation.results import RESULTS, TABLE, Results, interval_facts
from lomit.evaluation.settings import Judges, Setting
from lomit.evaluation.store import Store, open_store
from lomit.images import write_bytes
from lomit.inference.weights import WEIGHTS
from lomit.models.base import Translator
from lomit.models.registry import method_of


def evaluate(
    protocol: EvaluationProtocol,
    translator: Translator,
    model: Path,
    data: DataConfig,
    device: torch.device,
    *,
    split: EvaluatedSplit = "test",
    seed: int = 0,
    batch_size: int = 16,
    precision: NumberFormat = "float32",
    out: Path | None = None,
    keep_images: bool = False,
    overwrite: bool = False,
) -> tuple[Results, str]:
    """Runs a protocol; one that was stopped is taken up.  Raises LomitError for models, data, classifiers and folders
    that can't be used.

    Args:
        translator, device, split, seed, batch_size, precision: as of `Setting`.
        model: the folder of the translator's weights.
        data: with the model's attributes and image size.
        out, keep_images, overwrite: as of `open_store`; without `out` nothing is kept.

    Returns:
        The results, and a table of them in Markdown.
    """
    if not data.attributes:
        raise LomitError("the model does not say which attributes it was trained on")
    source = open_source(data)
    # Seconds before what may take an hour: nobody waits for the images to hear of a wrong --classifier.
    judges = protocol.prepare(Judges(source=source, data=data, device=device))
    cache = build_cache(source, data)
    setting = Setting(
        **vars(judges), translator=translator, cache=cache, split=split, seed=seed, batch_size=batch_size,
        precision=precision,
    )  # fmt: skip
    config = translator.config
    facts = {
        "protocol": protocol.name,
        "seed": seed,
        "model": {
            "name": model.name,
            "sha256": file_sha256(model / WEIGHTS),
            "method": method_of(config).name,
            "image_size": config.image_size,
            "attributes": list(config.attributes),
            "parameters": sum(p.numel() for p in translator.generator.parameters()),
            "config": to_dict(config),
        },
        **setting.judges,
        "data": {"name": Path(data.root or "").name, "images": len(cache), "split": split},
    }
    notes: list[str] = []
    if precision != "float32":  # which results that don't say it are in
        facts |= {"precision": precision}
        notes.append(f"Translations were computed in {precision}, not in float32.")
    decided = _decided(protocol, setting) | facts | {"keep_images": keep_images}
    keeping = nullcontext(Store()) if out is None else open_store(out, decided, keep_images, overwrite)
    with keeping as store:
        found = protocol.run(replace(setting, store=store))
        facts |= {**found.facts, "counted": found.counted, "interval": interval_facts(setting.resampled)}
        results = Results(facts, [*found.notes, *notes], found.rows)
        table = f"`{model.name}` by the protocol `{protocol.name}`\n\n{results.to_markdown()}\n"
        if out is not None:
            # The results come last: where they are, everything is.
            for name, text in ((TABLE, table), (RESULTS, results.to_json())):
                write_bytes(out / name, text.encode(), overwrite=True)
        store.finish()
    return results, table


def _decided(protocol: EvaluationProtocol, setting: Setting) -> dict[str, object]:
    """What decides, beside the facts, what an evaluation translates and scores, for taking it up."""
    digest = hashlib.blake2b(setting.source.fingerprint.encode(), digest_size=16)
    cache = setting.cache
    for array in (cache.labels, cache.split, cache.identity, cache.source_index):
        digest.update(array.tobytes())
    options = [f.name for f in dataclasses.fields(PROTOCOLS[protocol.name]) if f.metadata != PLACE]
    return {
        **{name: getattr(protocol, name) for name in options},
        "identity": setting.embed is not None,
        "batch_size": setting.batch_size,
        "geometry": dataclasses.asdict(Geometry.of(setting.source, setting.data)),
        "images and labels": digest.hexdigest(),
        "device": setting.device.type,
        "versions": [__version__, torch.__version__],
    }

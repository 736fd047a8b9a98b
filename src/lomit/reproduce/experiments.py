"""The experiments that are reproduced: the paper's Table 1, the rivals and the ablations on rendered faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lomit.classifier.config import ClassifierConfig
from lomit.config import DEMO_SEED, RunConfig, to_dict
from lomit.errors import LomitError, did_you_mean
from lomit.evaluation.results import MEAN
from lomit.inference.weights import checkpoints_in
from lomit.models.lomit.presets import ABLATIONS
from lomit.models.registry import Method, methods
from lomit.models.runs import HAIR
from lomit.reproduce.costs import Cost, Costs
from lomit.reproduce.stages import Stage

EXCHANGED = (*HAIR, "Smiling", "Facial_Hair")
"""What a method without domains learns on rendered faces."""
CELEBA = (*HAIR, "Smiling", "Goatee", "Mustache", "No_Beard", "Male", "Heavy_Makeup", "Wearing_Lipstick")
"""What the classifier of photographs learns: every attribute of the paper's runs."""
TWO_DOMAINS = {"Blond_Hair": "blond", "Smiling": "smile", "Facial_Hair": "facialhair"}
"""Attribute that tells domains apart on rendered faces -> its name in presets."""
FACES = 10_000
CLASSIFIER_EPOCHS, CLASSIFIER_WIDTH = 10, 16
QUICK_FACES, QUICK_STEPS, QUICK_PAIRS = 300, 6, 12
QUICK = ("--data.image-size", "32", "--model.width", "8", "--model.d-width", "8")
"""Networks of a smoke run."""
REPORT_SECONDS = 120.0
"""Allowed for a report, which is not measured."""

ConfigOf = Callable[[Sequence[str]], RunConfig]
"""The config of a training run from the command line after `lomit train`, as the command itself would read it."""


@dataclass(frozen=True)
class Setup:
    """What a user chose, for every experiment.

    Attributes:
        costs: measures what things cost, on the device and in the threads that everything is computed with.
        faces: the options that say where the faces are and how they are cut; empty: they are rendered.
        decoding: the options that say how they are decoded, which changes nothing in what is made.
        images: how many of them the classifier is trained on; 0 for rendered faces.
        size: side of the images, 128 or 64.
        minutes: of computing for each model; None: the presets' schedules.
        steps: iterations for each model, in place of minutes.
        seed: of the runs, the draws and the bootstrap.
        classifier: a classifier that is there already; None: one is trained.
    """

    out: Path
    costs: Costs
    config_of: ConfigOf
    faces: tuple[str, ...] = ()
    decoding: tuple[str, ...] = ()
    images: int = 0
    size: int = 64
    minutes: float | None = None
    steps: int | None = None
    pairs: int = 1_000
    seed: int = 0
    classifier: str | None = None
    quick: bool = False

    @property
    def data(self) -> tuple[str, ...]:
        """The options that say where the faces are, rendered ones included."""
        return self.faces or ("--data.root", str(self.out / "faces"))

    def computed(self, prefix: str = "", device: str = "device") -> tuple[str, ...]:
        """The options that say what it is computed on; they change nothing in what is made."""
        threads = self.costs.threads
        chosen = () if threads is None else (f"--{prefix}threads", str(threads))
        return (f"--{prefix}{device}", str(self.costs.device), *chosen, *self.decoding)


@dataclass(frozen=True)
class Trained:
    """A model of an experiment, for its summary: tables call it `label`, a step costs `cost`.

    Its stages are `train/NAME` and, for each of its protocols, `evaluate/NAME-PROTOCOL`.
    """

    label: str
    name: str
    steps: int
    cost: Cost
    protocols: tuple[str, ...]


@dataclass
class Experiment:
    """Stages in order, and what the summary tells of.

    Attributes:
        stages: each after those it reads from.
        claims: keys of the rows that the summary shows: measure, and what it is of.
        drawn: attribute in which the pairs of the summary's figure differ; None for no figure.
        alike: attributes in which they don't.
    """

    stages: list[Stage] = field(default_factory=list)
    models: list[Trained] = field(default_factory=list)
    claims: tuple[tuple[str, str], ...] = ()
    drawn: str | None = None
    alike: tuple[str, ...] = ()


class _Builder:
    """Adds stages that later ones may read from; `data` names those that every model reads from."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.experiment = setup, Experiment()
        self.data: tuple[str, ...] = ()
        self.pairs = QUICK_PAIRS if setup.quick else setup.pairs

    def _add(self, name: str, words: Sequence[str], makes: Path, seconds: float, **more: Any) -> None:
        """Adds the stage; `more` are further fields of it."""
        self.experiment.stages.append(Stage(name, tuple(words), makes, seconds=seconds, **more))

    def faces(self) -> None:
        """Renders the faces, where none were given."""
        setup = self.setup
        if setup.faces:
            return
        count, size = (QUICK_FACES, 32) if setup.quick else (FACES, setup.size)
        folder = setup.out / "faces"
        words = ["data", "avatars", "--count", str(count), "--seed", str(setup.seed), "--size", str(size)]
        words += ["--regions", "test", "--out", str(folder)]
        seconds = setup.costs.rendering(size).of(count)
        self._add("faces", words, folder, seconds, complete=folder, how=("--workers", "1"))
        self.data = ("faces",)

    def classifier(self, attributes: Sequence[str], packaged: str | None = None) -> str:
        """The folder or name of the classifier; trained where none is given and none in the package will do."""
        setup = self.setup
        if setup.classifier is not None:
            return setup.classifier
        if packaged is not None and not setup.quick:
            return packaged
        folder, size = setup.out / "classifier", 32 if setup.quick else setup.size
        epochs, width = (1, 8) if setup.quick else (CLASSIFIER_EPOCHS, CLASSIFIER_WIDTH)
        words = ["classifier", "train", *setup.data, "--attributes", *attributes]
        words += ["--image-size", str(size), "--width", str(width)]
        words += ["--training.epochs", str(epochs), "--training.seed", str(setup.seed), "--out", str(folder)]
        images = setup.images or round(0.85 * (QUICK_FACES if setup.quick else FACES))
        seconds = setup.costs.classifier(ClassifierConfig(tuple(attributes), size, width)).of(epochs * images)
        self._add(
            *("classifier", words, folder, seconds),
            complete=folder / "config.json",
            how=setup.computed(),
            after=self.data,
            resumed=lambda: ("--overwrite",) if folder.exists() else (),
        )
        self.data = (*self.data, "classifier")
        return str(folder)

    def train(self, label: str, name: str, preset: str, protocols: Sequence[str] = (), seed: int = 0) -> Trained:
        """Trains a model for the budget; `seed` is added to the setup's."""
        setup, folder = self.setup, self.setup.out / "models" / name
        words = ["train", preset, *setup.data, "--train.seed", str(setup.seed + seed)]
        words += [*(QUICK if setup.quick else ()), "--out", str(folder)]
        config = setup.config_of(words[1:])
        cost = setup.costs.training(config)
        steps = self._steps(config, cost)
        if steps != config.train.steps:
            words += _shortened(config, steps)
        self._add(
            *(f"train/{name}", words, folder, cost.of(steps)),
            how=setup.computed("train.", "accelerator"),
            after=self.data,
            resumed=lambda: ("--resume",) if checkpoints_in(folder / "checkpoints") else (),
        )
        self.experiment.models.append(Trained(label, name, steps, cost, tuple(protocols)))
        return self.experiment.models[-1]

    def _steps(self, config: RunConfig, cost: Cost) -> int:
        setup = self.setup
        turn = cost.turn  # every phase has had its last turn at the end
        if setup.quick or setup.steps is not None:
            return max(turn, (setup.steps or QUICK_STEPS) // turn * turn)
        if setup.minutes is None:
            return config.train.steps
        return max(turn, int(60 * setup.minutes / cost.budgeted(setup.costs.device)) // turn * turn)

    def evaluate(self, model: Trained, protocol: str, classifier: str, translations: int, words: Sequence[str]) -> Path:
        """Evaluates a model; `translations` is how many it makes, for the estimate."""
        setup, folder = self.setup, self.setup.out / "results" / f"{model.name}-{protocol}"
        train = next(stage for stage in self.experiment.stages if stage.name == f"train/{model.name}")
        seconds = setup.costs.translation(setup.config_of(train.words[1:])).of(translations)
        given = ["evaluate", protocol, str(train.makes), *setup.data]
        given += ["--classifier", classifier, "--seed", str(setup.seed), *words, "--out", str(folder)]
        name, after = f"evaluate/{model.name}-{protocol}", (*self.data, train.name)
        complete = folder / "results.json"
        self._add(name, given, folder, seconds, complete=complete, how=setup.computed(), after=after)
        return folder

    def report(self, title: str, inputs: Sequence[str]) -> None:
        """The page."""
        setup, page = self.setup, self.setup.out / "report.html"
        small = ("--columns", "2", "--exemplars", "2", "--codes", "0") if setup.quick else ()
        title += " (smoke run: its numbers mean nothing)" if setup.quick else ""
        words = ["report", *inputs, "--title", title, "--seed", str(DEMO_SEED + setup.seed), *small]
        words += [*setup.faces, "--out", str(page)]
        after = tuple(stage.name for stage in self.experiment.stages)
        self._add("report", words, page, REPORT_SECONDS, complete=page, how=setup.computed(), after=after)


def _shortened(config: RunConfig, steps: int) -> list[str]:
    """The schedule of a run in so many iterations: warm-up and the learning rate's fall take the same share."""
    train = config.train
    share = steps / train.steps
    words = ["--train.steps", str(steps), "--train.decay-start", str(round(share * train.decay_start))]
    words += ["--train.decay-every", str(max(1, round(share * train.decay_every)))]
    for name in config.model.scheduled:
        if count := to_dict(config.model)[name]:
            words += [f"--model.{name.replace('_', '-')}", str(round(share * count))]
    return words


def _chosen(names: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """Those that were named, in the order in which they are known; all of them where none was."""
    for name in names:
        if name not in known:
            raise LomitError(f"no {what} '{name}'{did_you_mean(name, known)}; known: {', '.join(known)}")
    return [name for name in known if name in names or not names]


def competitors(named: Sequence[str] = ()) -> list[Method]:
    """The methods of these names, by default every method with presets; those that know any labels come first.
    Raises `LomitError` for an unknown one.
    """
    known = sorted((m for m in methods().values() if m.presets), key=lambda m: m.translator.domains is not None)
    chosen = _chosen(named, [method.name for method in known], "method")
    return [method for method in known if method.name in chosen]


def _preset(method: Method, run: str) -> str | None:
    """A method's preset of a run; None where it has none.  LOMIT's own presets lack its name."""
    return next((name for name in (f"{method.name}-{run}", f"celeba-{run}", run) if name in method.presets), None)


def table1(setup: Setup, named: Sequence[str]) -> Experiment:
    """Table 1: a classifier, every method's models of the paper's classes, their evaluation, the page.

    A method without domains learns the attributes of several classes at once; one with domains gets a model for each
    class.  `named` and errors: see `competitors`.
    """
    build, chosen = _Builder(setup), competitors(named)
    build.faces()
    classifier = build.classifier(CELEBA if setup.faces else EXCHANGED)
    inputs: list[str] = []
    for method in chosen:
        for name, preset, classes in _table1_runs(setup, method):
            model = build.train(f"{method.title}, {name}", f"{method.name}-{name}", preset)
            words = ["--classes", *classes, "--opposite", "--pairs", str(build.pairs)]
            results = build.evaluate(model, "table1", classifier, len(classes) * build.pairs, words)
            inputs += [f"{method.title}={results}", f"{method.title}, {name}={setup.out / 'models' / model.name}"]
    build.report("Table 1", inputs)
    return build.experiment


def _table1_runs(setup: Setup, method: Method) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, preset and classes to score of each run that the method has a preset for."""
    several, suffix = method.translator.domains is None, "-64" if setup.size == 64 else ""
    runs: dict[str, tuple[str, ...]]
    if not setup.faces:
        run = "avatars-64" if several else "avatars-facialhair-64"
        classes = ("facial hair", "Blond_Hair", "facial hair+Smiling") if several else ("facial hair",)
        preset = _preset(method, run)
        return [("rendered", preset, classes)] if preset else []
    if several:
        runs = {
            "facialhair-gender": ("facial hair", "gender", "facial hair+gender"),
            "makeup-lipstick": ("wearing lipstick", "makeup+wearing lipstick"),
        }
    else:
        # Their domains: CelebA has no label for facial hair as a whole, so it is a beard, and a man's goatee.
        runs = {
            "facialhair": ("No_Beard",),
            "gender": ("gender",),
            "lipstick": ("wearing lipstick",),
            "facialhair-gender": ("Goatee+gender",),
            "makeup-lipstick": ("makeup+wearing lipstick",),
        }
    presets = {name: _preset(method, f"{name}{suffix}") for name in runs}
    return [(name, preset, runs[name]) for name, preset in presets.items() if preset]


def rivals(setup: Setup, named: Sequence[str], attribute: str) -> Experiment:
    """The methods on rendered faces, with an equal budget each, on the same pairs.

    Pairs differ in one attribute and are alike in the others of `EXCHANGED`: every method is asked for the same.

    The domains of a method with domains differ in `attribute`, one of `TWO_DOMAINS`.  `named` and errors: see
    `competitors`.
    """
    build, chosen = _Builder(setup), competitors(named)
    _chosen([attribute], tuple(TWO_DOMAINS), "attribute")
    build.faces()
    classifier = build.classifier(EXCHANGED, "attributes-avatars")
    group = HAIR if attribute in HAIR else (attribute,)
    build.experiment.drawn, build.experiment.alike = attribute, tuple(name for name in EXCHANGED if name not in group)
    alike = ("--alike", *build.experiment.alike)
    sources = max(8, build.pairs // 10)
    inputs: list[str] = []
    for method in chosen:
        several = method.translator.domains is None
        preset = _preset(method, "avatars-64" if several else f"avatars-{TWO_DOMAINS[attribute]}-64")
        if preset is None:
            continue
        protocols = ("avatars", "table1", "starganv2")
        model = build.train(method.title, method.name, preset, protocols)
        count = ("--pairs", str(build.pairs))
        results = [
            build.evaluate(
                model, "avatars", classifier, (4 if method.translator.has_masks else 2) * build.pairs,
                ("--differ", attribute, *alike, *count),
            ),
            build.evaluate(model, "table1", classifier, build.pairs, ("--classes", attribute, *alike, *count)),
            build.evaluate(
                model, "starganv2", classifier, 20 * sources,
                ("--domains", attribute, "--sources", str(sources), "--modes", *group,
                 *(("--exemplars", "3") if setup.quick else ())),
            ),
        ]  # fmt: skip
        inputs += [f"{method.title}={path}" for path in (setup.out / "models" / method.name, *results)]
    build.report("The rivals on rendered faces", inputs)
    whole = ("change_target", "change_target_self", "change_target_above", "ssim", "iou")
    build.experiment.claims = (
        ("ca", attribute), ("is", attribute), ("cis", MEAN), ("diversity", MEAN), *((measure, "") for measure in whole),
    )  # fmt: skip
    return build.experiment


def ablations(setup: Setup, variants: Sequence[str]) -> Experiment:
    """LOMIT on rendered faces with one part taken away at a time, an equal budget each; the full method twice.

    Variants are `full`, `full-again` (another seed) and names of ablations, by default all; `LomitError` for another.
    """
    known = {"full": "full", "full-again": "full, another seed"}
    known |= {ablation.name: ablation.description for ablation in ABLATIONS}
    build, chosen = _Builder(setup), _chosen(variants, tuple(known), "variant")
    build.faces()
    classifier = build.classifier(EXCHANGED, "attributes-avatars")
    inputs: list[str] = []
    for name in chosen:
        preset = "avatars-64" if name.startswith("full") else f"avatars-64-{name}"
        model = build.train(known[name], name, preset, ("avatars",), seed=int(name == "full-again"))
        results = build.evaluate(model, "avatars", classifier, 4 * build.pairs, ("--pairs", str(build.pairs)))
        inputs += [f"{name}={path}" for path in (setup.out / "models" / name, results)]
    build.report("Ablations on rendered faces", inputs)
    build.experiment.claims = (
        ("changed_each", ""), ("accuracy", "Blond_Hair"), ("accuracy", "Smiling"), ("change_target_above", ""),
        ("change_target_self", ""), ("iou", ""), ("iou", "hair"), ("area", ""),
    )  # fmt: skip
    return build.experiment

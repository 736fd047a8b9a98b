"""The recipes: the paper's Table 1, the rivals and the ablations on rendered faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lomit.config import RunConfig, to_dict
from lomit.errors import LomitError, did_you_mean
from lomit.metrics.classifier import ClassifierConfig
from lomit.models.base import Method, methods
from lomit.models.lomit.ablations import ABLATIONS
from lomit.models.lomit.presets import HAIR
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
class Plan:
    """What a user chose, for every recipe.

    Attributes:
        out: folder for everything.
        costs: measures what things cost.
        config_of: see `ConfigOf`.
        root, extra_roots: where the faces are; without a root they are rendered.
        images: how many of them the classifier is trained on; 0 for rendered faces.
        size: side of the images, 128 or 64.
        minutes: of computing for each model; None: the presets' schedules.
        steps: iterations for each model, in place of minutes.
        pairs: of each evaluation.
        seed: of the runs, the draws and the bootstrap.
        classifier: a classifier that is there already; None: the recipe's own.
        quick: a smoke run.
        how_train, how_classifier, how_evaluate, how_report: words that change nothing in what is made.
    """

    out: Path
    costs: Costs
    config_of: ConfigOf
    root: str | None = None
    extra_roots: tuple[str, ...] = ()
    images: int = 0
    size: int = 64
    minutes: float | None = None
    steps: int | None = None
    pairs: int = 1_000
    seed: int = 0
    classifier: str | None = None
    quick: bool = False
    how_train: tuple[str, ...] = ()
    how_classifier: tuple[str, ...] = ()
    how_evaluate: tuple[str, ...] = ()
    how_report: tuple[str, ...] = ()

    @property
    def faces(self) -> str:
        """Folder of the faces."""
        return self.root if self.root is not None else str(self.out / "faces")


@dataclass(frozen=True)
class Trained:
    """A model of a recipe, for its summary.

    Attributes:
        label: what tables call it.
        name: of its folder; its stage is `train/NAME`.
        steps: iterations.
        cost: of an iteration.
        protocols: the protocols it is evaluated by; the stages are `evaluate/NAME-PROTOCOL`.
    """

    label: str
    name: str
    steps: int
    cost: Cost
    protocols: tuple[str, ...]


@dataclass
class Recipe:
    """Stages in order, and what the summary tells of.

    Attributes:
        stages: each after those it reads from.
        models: the trained models.
        claims: section and name of the rows that the summary shows; a section ends in `*` where the extractor's name
            follows.
        drawn: attribute in which the pairs of the summary's figure differ; None for no figure.
        alike: attributes in which they don't.
    """

    stages: list[Stage] = field(default_factory=list)
    models: list[Trained] = field(default_factory=list)
    claims: tuple[tuple[str, str], ...] = ()
    drawn: str | None = None
    alike: tuple[str, ...] = ()


class _Builder:
    """Adds stages that later ones may read from."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.recipe = plan, Recipe()
        self.data: tuple[str, ...] = ()

    def add(self, stage: Stage) -> str:
        self.recipe.stages.append(stage)
        return stage.name

    def faces(self) -> None:
        """Renders the faces, where none were given."""
        plan = self.plan
        if plan.root is not None:
            return
        count, size = (QUICK_FACES, 32) if plan.quick else (FACES, plan.size)
        folder = plan.out / "faces"
        words = ["data", "avatars", "--count", str(count), "--seed", str(plan.seed), "--size", str(size)]
        words += ["--regions", "test", "--out", str(folder)]
        free, busy = plan.costs.rendering(size).of(count)
        stage = Stage(
            "faces", tuple(words), folder, ("--workers", "1"), complete=folder, seconds=free, busy_seconds=busy
        )
        self.data = (self.add(stage),)

    def classifier(self, attributes: Sequence[str], packaged: str | None = None) -> str:
        """The folder or name of the classifier; trained where none is given and none in the package will do."""
        plan = self.plan
        if plan.classifier is not None:
            return plan.classifier
        if packaged is not None and not plan.quick:
            return packaged
        folder, size = plan.out / "classifier", 32 if plan.quick else plan.size
        epochs, width = (1, 8) if plan.quick else (CLASSIFIER_EPOCHS, CLASSIFIER_WIDTH)
        words = ["classifier", "train", "--data.root", plan.faces, *_appended("--data.extra-roots", plan.extra_roots)]
        words += ["--attributes", ",".join(attributes), "--image-size", str(size), "--width", str(width)]
        words += ["--training.epochs", str(epochs), "--training.seed", str(plan.seed), "--out", str(folder)]
        cost = plan.costs.classifier(ClassifierConfig(tuple(attributes), size, width))
        images = plan.images or round(0.85 * (QUICK_FACES if plan.quick else FACES))
        self.data = (
            *self.data,
            self.add(
                Stage(
                    "classifier", tuple(words), folder, plan.how_classifier, self.data, folder / "config.json",
                    ("--overwrite",), folder, *cost.of(epochs * images),
                )
            ),
        )  # fmt: skip
        return str(folder)

    def train(self, label: str, name: str, preset: str, protocols: Sequence[str] = (), seed: int = 0) -> Trained:
        """Trains a model for the budget; `seed` is added to the plan's."""
        plan, folder = self.plan, self.plan.out / "models" / name
        words = ["train", preset, "--data.root", plan.faces, "--train.seed", str(plan.seed + seed)]
        words += ["--data.extra-roots", *plan.extra_roots] if plan.extra_roots else []
        words += [*(QUICK if plan.quick else ()), "--out", str(folder)]
        config = plan.config_of(words[1:])
        cost = plan.costs.training(config)
        steps = self._steps(config, cost)
        if steps != config.train.steps:
            words += _shortened(config, steps)
        stage = Stage(
            f"train/{name}", tuple(words), folder, plan.how_train, self.data, None, ("--resume",),
            folder / "checkpoints" / "latest", *cost.of(steps),
        )  # fmt: skip
        self.add(stage)
        trained = Trained(label, name, steps, cost, tuple(protocols))
        self.recipe.models.append(trained)
        return trained

    def _steps(self, config: RunConfig, cost: Cost) -> int:
        plan = self.plan
        turn = cost.turn  # every phase has had its last turn at the end
        if plan.quick or plan.steps is not None:
            return max(turn, (plan.steps or QUICK_STEPS) // turn * turn)
        if plan.minutes is None:
            return config.train.steps
        return max(turn, int(60 * plan.minutes / cost.budgeted(plan.costs.device)) // turn * turn)

    def evaluate(self, model: Trained, protocol: str, classifier: str, translations: int, words: Sequence[str]) -> Path:
        """Evaluates a model; `translations` is how many it makes, for the estimate."""
        plan, folder = self.plan, self.plan.out / "results" / f"{model.name}-{protocol}"
        train = next(stage for stage in self.recipe.stages if stage.name == f"train/{model.name}")
        free, busy = plan.costs.translation(plan.config_of(train.words[1:])).of(translations)
        given = ["evaluate", str(train.makes), "--data.root", plan.faces]
        given += [*_appended("--data.extra-roots", plan.extra_roots), "--protocol", protocol]
        given += ["--classifier", classifier, "--seed", str(plan.seed), *words, "--out", str(folder)]
        self.add(
            Stage(
                f"evaluate/{model.name}-{protocol}", tuple(given), folder, plan.how_evaluate,
                (*self.data, train.name), folder / "results.json", seconds=free, busy_seconds=busy,
            )
        )  # fmt: skip
        return folder

    def report(self, title: str, words: Sequence[str]) -> None:
        """The page."""
        plan, page = self.plan, self.plan.out / "report.html"
        small = ("--columns", "2", "--exemplars", "2", "--codes", "0") if plan.quick else ()
        title += " (smoke run: its numbers mean nothing)" if plan.quick else ""
        given = ["report", *words, "--title", title, "--seed", str(2019 + plan.seed), *small]
        if plan.root is not None:
            given += ["--data.root", plan.root, *_appended("--data.extra-roots", plan.extra_roots)]
        after = tuple(stage.name for stage in self.recipe.stages)
        stage = Stage(
            "report",
            (*given, "--out", str(page)),
            page,
            plan.how_report,
            after,
            page,
            seconds=REPORT_SECONDS,
            busy_seconds=REPORT_SECONDS,
        )
        self.add(stage)

    @property
    def pairs(self) -> int:
        return QUICK_PAIRS if self.plan.quick else self.plan.pairs


def _appended(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


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

    Raises:
        LomitError: for a method that is none.
    """
    known = sorted((m for m in methods().values() if m.presets), key=lambda m: m.translator.domains is not None)
    chosen = _chosen(named, [method.name for method in known], "method")
    return [method for method in known if method.name in chosen]


def _preset(method: Method, run: str) -> str | None:
    """A method's preset of a run; None where it has none.  LOMIT's own presets lack its name."""
    return next((name for name in (f"{method.name}-{run}", f"celeba-{run}", run) if name in method.presets), None)


def table1(plan: Plan, named: Sequence[str]) -> Recipe:
    """Table 1: a classifier, every method's models of the paper's classes, their evaluation, the page.

    A method without domains learns the attributes of several classes at once; one with domains gets a model for each
    class.

    Args:
        plan: what the user chose.
        named: methods, by name; empty for all.

    Raises:
        LomitError: for a method that is none.
    """
    build, chosen = _Builder(plan), competitors(named)
    build.faces()
    classifier = build.classifier(EXCHANGED if plan.root is None else CELEBA)
    report: list[str] = []
    for method in chosen:
        for name, preset, classes in _table1_runs(plan, method):
            model = build.train(f"{method.title}, {name}", f"{method.name}-{name}", preset)
            words = [*_appended("--classes", classes), "--opposite", "--pairs", str(build.pairs)]
            found = build.evaluate(model, "table1", classifier, len(classes) * build.pairs, words)
            report += [f"{method.title}={found}", f"{method.title}, {name}={plan.out / 'models' / model.name}"]
    build.report("Table 1", report)
    return build.recipe


_Run = tuple[str, str, tuple[str, ...]]
"""Name, preset, classes to score."""


def _table1_runs(plan: Plan, method: Method) -> list[_Run]:
    """The runs that the method has a preset for."""
    several, suffix = method.translator.domains is None, "-64" if plan.size == 64 else ""
    runs: dict[str, tuple[str, ...]]
    if plan.root is None:
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


def rivals(plan: Plan, named: Sequence[str], attribute: str) -> Recipe:
    """The methods on rendered faces, with an equal budget each, on the same pairs.

    Pairs differ in one attribute and are alike in the others of `EXCHANGED`: every method is asked for the same.

    Args:
        plan: what the user chose.
        named: methods, by name; empty for all.
        attribute: what the domains of a method with domains differ in, one of `TWO_DOMAINS`.

    Raises:
        LomitError: for a method or an attribute that is none.
    """
    build, chosen = _Builder(plan), competitors(named)
    _chosen([attribute], tuple(TWO_DOMAINS), "attribute")
    build.faces()
    classifier = build.classifier(EXCHANGED, "attributes-avatars")
    group = HAIR if attribute in HAIR else (attribute,)
    build.recipe.drawn, build.recipe.alike = attribute, tuple(name for name in EXCHANGED if name not in group)
    alike = _appended("--alike", build.recipe.alike)
    sources = max(8, build.pairs // 10)
    report: list[str] = []
    for method in chosen:
        several = method.translator.domains is None
        preset = _preset(method, "avatars-64" if several else f"avatars-{TWO_DOMAINS[attribute]}-64")
        if preset is None:
            continue
        protocols = ("avatars", "table1", "starganv2")
        model = build.train(method.title, method.name, preset, protocols)
        count = ("--pairs", str(build.pairs))
        found = [
            build.evaluate(
                model, "avatars", classifier, (4 if method.translator.has_masks else 2) * build.pairs,
                ("--differ", attribute, *alike, *count),
            ),
            build.evaluate(model, "table1", classifier, build.pairs, ("--classes", attribute, *alike, *count)),
            build.evaluate(
                model, "starganv2", classifier, 20 * sources,
                ("--domains", attribute, "--sources", str(sources), *_appended("--modes", group),
                 *(("--exemplars", "3") if plan.quick else ())),
            ),
        ]  # fmt: skip
        report += [f"{method.title}={path}" for path in (plan.out / "models" / method.name, *found)]
    build.report("The rivals on rendered faces", report)
    build.recipe.claims = (
        ("CA-*", attribute),
        ("IS-raw-*", attribute),
        ("CIS-raw-*", "mean over domain pairs"),
        ("diversity-*", "mean over domain pairs"),
        ("background kept", "change outside target"),
        ("background kept", "change outside target, self (floor)"),
        ("background kept", "change outside target, above floor"),
        ("background kept", "SSIM outside target"),
        ("masks", "IoU with target"),
    )
    return build.recipe


def ablations(plan: Plan, variants: Sequence[str]) -> Recipe:
    """LOMIT on rendered faces with one part taken away at a time, an equal budget each; the full method twice.

    Args:
        plan: what the user chose.
        variants: `full`, `full-again` (another seed) and names of ablations; empty for all.

    Raises:
        LomitError: for a variant that is none.
    """
    known: Mapping[str, str] = {
        "full": "full",
        "full-again": "full, another seed",
        **{ablation.name: ablation.description for ablation in ABLATIONS},
    }
    build, chosen = _Builder(plan), _chosen(variants, tuple(known), "variant")
    build.faces()
    classifier = build.classifier(EXCHANGED, "attributes-avatars")
    report: list[str] = []
    for name in chosen:
        preset = "avatars-64" if name.startswith("full") else f"avatars-64-{name}"
        model = build.train(known[name], name, preset, ("avatars",), seed=int(name == "full-again"))
        found = build.evaluate(model, "avatars", classifier, 4 * build.pairs, ("--pairs", str(build.pairs)))
        report += [f"{name}={path}" for path in (plan.out / "models" / name, found)]
    build.report("Ablations on rendered faces", report)
    build.recipe.claims = (
        ("attribute accuracy, %", "changed, each"),
        ("attribute accuracy, %", "Blond_Hair"),
        ("attribute accuracy, %", "Smiling"),
        ("background kept", "change outside target, above floor"),
        ("background kept", "change outside target, self (floor)"),
        ("masks", "IoU with target"),
        ("masks", "IoU, pairs that differ in hair only"),
        ("masks", "mask area (ceiling: the region's)"),
    )
    return build.recipe

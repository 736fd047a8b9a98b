"""A study on disk: what participants may know (`study.json`), the key (`key.json`) and who may do what (`access.json`).

The pictures lie in `images/` under random names; only the key tells what they are.  Nothing of the key leaves the
server but by the owner's token.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from lomit.apps.study.design import RESERVED, Block, Role, Stimulus, Trial
from lomit.config import from_dict, read_json
from lomit.errors import LomitError

STUDY, KEY, ACCESS, IMAGES, ANSWERS = "study.json", "key.json", "access.json", "images", "answers.sqlite"
VERSION = 1
MOST_TRIALS, MOST_LISTS, MOST_MODELS = 500, 1_000, 20
"""More of a block, lists and models is taken for a mistake; nobody answers 500 questions."""


@dataclass
class Texts:
    """What participants read; every field may be changed in study.json before the study is served."""

    title: str = "Comparing pictures"
    consent: tuple[str, ...] = (
        "You will see pairs of pictures of faces and say for each pair which picture fits a question better. It takes "
        "about {minutes} min. There are no right or wrong opinions.",
        "Taking part is voluntary. You can stop at any time by closing the page, and go on later with the same link. "
        "With the button 'Withdraw' on each page you delete all your answers.",
    )
    """Paragraphs of the consent page; `{minutes}` and `{questions}` are filled in.  What is stored is told below them
    by the server itself, so that it is always true."""
    contact: str = ""
    """Whom participants can ask: name, office, address."""
    instructions: tuple[str, ...] = (
        "Choose the left or the right picture: click or tap it, or press the arrow key ← or → (or F and J).",
        "Answer by your first impression, but look at both pictures. A few questions at the beginning of each part are "
        "for practice.",
    )
    thanks: str = "Thank you for taking part. You can close this page now."
    completion_url: str = ""
    """Link on the last page, for panels that want people back; https only."""


@dataclass
class StudyDefinition:
    """What may be known of a study.

    Attributes:
        models: names of the models.
        blocks: the questions.
        lists: how many lists there are.
        seed: of the design and of the participants' orders.
        size: side of the pictures in pixels.
        texts: what participants read.
        least_checks: share of the attention checks that an included participant answers rightly.
        external_id: name of a query parameter of the join link that a panel fills in (such as PROLIFIC_PID), empty:
            none is stored.
        facts: where models and faces come from.
        people: the pictures may show people, so they must not be passed on unchecked.
    """

    models: tuple[str, ...]
    blocks: tuple[Block, ...]
    lists: int
    seed: int
    size: int
    texts: Texts = field(default_factory=Texts)
    least_checks: float = 0.8
    external_id: str = ""
    facts: dict = field(default_factory=dict)
    people: bool = True
    version: int = VERSION

    def __post_init__(self) -> None:
        check_models(self.models)
        check_blocks(self.blocks, self.models)
        if self.lists not in range(2, MOST_LISTS + 1, 2):
            raise LomitError(f"lists must be even, 2 to {MOST_LISTS}; it is {self.lists}")
        if self.seed < 0 or self.size < 1:
            raise LomitError(f"seed must be at least 0, size at least 1; they are {self.seed} and {self.size}")
        if not 0 <= self.least_checks <= 1:
            raise LomitError(f"least_checks must lie in 0 to 1; it is {self.least_checks:g}")
        if self.texts.completion_url and not self.texts.completion_url.startswith("https://"):
            raise LomitError(f"completion_url must begin with https://; it is '{self.texts.completion_url}'")
        if self.external_id and not self.external_id.isidentifier():
            raise LomitError(f"external_id must be a name such as PROLIFIC_PID; it is '{self.external_id}'")

    def block(self, name: str) -> Block:
        """The block of that name."""
        return next(block for block in self.blocks if block.name == name)


def check_models(models: Sequence[str]) -> None:
    """Raises `LomitError` where names of models are missing, twice there or taken."""
    if not 1 <= len(models) <= MOST_MODELS:
        raise LomitError(f"a study needs at least one model, and takes {MOST_MODELS} at most; {len(models)} were given")
    for name in models:
        if not name.strip() or name in RESERVED or len(name) > 60:
            raise LomitError(f"'{name}' can't be a model's name; name it LABEL=PATH")
        if list(models).count(name) > 1:
            raise LomitError(f"two models are called '{name}'; name them: LABEL=PATH")


def check_blocks(blocks: Sequence[Block], models: Sequence[str]) -> None:
    """Raises `LomitError` for blocks that can't be asked."""
    if not 1 <= len(blocks) <= MOST_MODELS:
        raise LomitError(f"a study needs at least one block of questions, and takes {MOST_MODELS} at most")
    for block in blocks:
        where = f"block '{block.name}'"
        if not block.name or [b.name for b in blocks].count(block.name) > 1:
            raise LomitError(f"{where}: each block needs a name of its own")
        if not block.question.strip():
            raise LomitError(f"{where} has no question")
        if block.kind not in ("real", "models"):
            raise LomitError(f"{where}: kind must be 'real' or 'models'; it is '{block.kind}'")
        if not set(block.context) <= {"input", "exemplar"}:
            raise LomitError(f"{where}: context may hold 'input' and 'exemplar'; it is {list(block.context)}")
        least, most = min(block.checks, block.practice), max(block.checks, block.practice)
        if not 1 <= block.trials <= MOST_TRIALS or not 0 <= least <= most <= MOST_TRIALS:
            raise LomitError(
                f"{where}: trials must lie in 1 to {MOST_TRIALS}, checks and practice in 0 to {MOST_TRIALS}"
            )
        if block.kind == "models" and not block.comparisons:
            raise LomitError(f"{where}: 'comparisons' must say which two models meet")
        for two in block.comparisons:
            if len(two) != 2 or two[0] == two[1] or not set(two) <= set(models):
                raise LomitError(f"{where}: {list(two)} must be two of the models {', '.join(models)}")


@dataclass(frozen=True)
class Key:
    """What is what: never leaves the server.

    Attributes:
        lists: the trials of each list.
        files: picture -> name of its file, without the ending.
    """

    lists: list[list[Trial]]
    files: Mapping[Stimulus, str]


@dataclass(frozen=True)
class Access:
    """The study's secrets.

    Attributes:
        owner: SHA-256 of the owner's token, which is told once, by `lomit study build`.
        join: the word in the link by which anybody who has it can take part.
    """

    owner: str
    join: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.owner) or not re.fullmatch(r"[\w-]{16,}", self.join, re.ASCII):
            raise ValueError("no hash, or no word of a link")


@dataclass(frozen=True)
class StudyFolder:
    """A study that was built: its folder and what it holds."""

    path: Path
    study: StudyDefinition
    key: Key
    access: Access

    @property
    def fingerprint(self) -> str:
        """Changes when the trials or the questions change; answers belong to one."""
        questions = {block.name: block.question for block in self.study.blocks}
        asked = {"key": key_json(self.key), "questions": questions}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def image(self, picture: Stimulus) -> Path:
        """The file of a picture."""
        return self.path / IMAGES / f"{self.key.files[picture]}.png"

    def require_outside(self, **outputs: Path | None) -> None:
        """Raises `LomitError` for the first of these options whose file or folder would lie in the study's own."""
        own = self.path.resolve()
        for option, path in outputs.items():
            if path is not None and own in (path.resolve(), path.parent.resolve(), *path.resolve().parents):
                raise LomitError(f"--{option} must lie outside of {self.path}, which holds the study and its answers")

    def require_images(self) -> None:
        """Raises `LomitError` where pictures are missing; answers can be analysed without them."""
        missing = [picture for picture in sorted(self.key.files) if not self.image(picture).is_file()]
        if missing:
            raise LomitError(
                f"{self.path / IMAGES} lacks {len(missing)} of {len(self.key.files)} pictures, the first is "
                f"{self.image(missing[0]).name}: put them back, or build the study again"
            )


def key_json(key: Key) -> dict[str, Any]:
    """The key as it is written."""
    pictures = sorted(key.files)
    number = {picture: k for k, picture in enumerate(pictures)}

    def trial(t: Trial) -> dict[str, Any]:
        places = {"left": number[t.left], "right": number[t.right], "context": [number[p] for p in t.context]}
        return {"block": t.block, "role": t.role, **places}

    return {
        "version": VERSION,
        "pictures": [{**asdict(picture), "file": key.files[picture]} for picture in pictures],
        "lists": [[trial(t) for t in trials] for trials in key.lists],
    }


def read_folder(path: str | Path) -> StudyFolder:
    """A study's folder.  Raises LomitError where it is none, or its files are damaged or of another version."""
    path = Path(path)
    if not (path / STUDY).is_file():
        raise LomitError(f"{path} is no study: it has no {STUDY}; lomit study build makes one")
    values = _read(path / STUDY)
    if values.get("version") != VERSION:
        raise LomitError(f"{path / STUDY} is of version {values.get('version')}; this lomit reads {VERSION}")
    try:
        study = from_dict(StudyDefinition, values, str(path / STUDY))
        key = _key(_read(path / KEY))
        access = from_dict(Access, _read(path / ACCESS), str(path / ACCESS))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise LomitError(f"{path}: {KEY} or {ACCESS} is damaged ({error}); build the study again") from error
    asked = {(t.block, *sorted(p.kind for p in t.context)) for trials in key.lists for t in trials}
    fits = asked == {(b.name, *sorted(b.context)) for b in study.blocks} and len(key.lists) == study.lists
    if not fits or not {p.model for p in key.files} - {""} <= {*study.models}:
        raise LomitError(f"{path}: {STUDY} and {KEY} don't fit together; change only texts, or build the study again")
    return StudyFolder(path, study, key, access)


def _key(values: dict[str, Any]) -> Key:
    entries = values["pictures"]
    pictures = [from_dict(Stimulus, {name: e[name] for name in ("kind", "model", "number")}, KEY) for e in entries]
    files = {p: str(e["file"]) for p, e in zip(pictures, entries, strict=True)}
    if wrong := [name for name in files.values() if not re.fullmatch("[0-9a-f]{32}", name)]:
        raise ValueError(f"'{wrong[0]}' is no picture's name")

    def picture(number: Any) -> Stimulus:
        if type(number) is not int or number < 0:
            raise ValueError(f"'{number}' is no picture's number")
        return pictures[number]

    def trial(t: dict[str, Any]) -> Trial:
        sides, context = (picture(t["left"]), picture(t["right"])), tuple(map(picture, t["context"]))
        if not isinstance(t["block"], str) or t["role"] not in get_args(Role):
            raise ValueError(f"'{t['role']}' in '{t['block']}' is no trial")
        return Trial(t["block"], t["role"], *sides, context)

    return Key([[trial(t) for t in trials] for trials in values["lists"]], files)


def _read(path: Path) -> dict[str, Any]:
    values = read_json(path)
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except ValueError as error:  # text that is none, such as half of a pair of surrogates
        raise LomitError(f"{path} can't be read: {error}") from error
    return values

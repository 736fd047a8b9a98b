"""One page with everything that a study shows, and the key beside it: for its owner alone."""

from __future__ import annotations

from base64 import b64encode

from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.design import Stimulus, Trial, alternative
from lomit.apps.study.pages import consent_paragraphs
from lomit.apps.web import templates
from lomit.errors import require


def preview_page(folder: StudyFolder, number: int) -> str:
    """HTML of a list's trials by block, its pictures inside.

    Args:
        folder: the study.
        number: of the list, from 0.

    Raises:
        LomitError: where the extra is missing.
    """
    require("the preview", "apps", "jinja2")
    trials = folder.key.lists[number]
    blocks = [(block, [_told(folder, t) for t in trials if t.block == block.name]) for block in folder.study.blocks]
    return (
        templates()
        .get_template("preview.html")
        .render(
            study=folder.study,
            number=number + 1,
            blocks=blocks,
            lists=folder.study.lists,
            total=len(trials),
            texts=[*consent_paragraphs(folder), *folder.study.texts.instructions],
        )
    )


def _told(folder: StudyFolder, trial: Trial) -> dict[str, object]:
    places = {p.kind: p for p in trial.context} | {"left": trial.left, "right": trial.right}
    pictures = [
        (place, _data(folder, p), alternative(p) if place in ("left", "right") else "") for place, p in places.items()
    ]
    return {"role": trial.role, "pictures": pictures}


def _data(folder: StudyFolder, picture: Stimulus) -> str:
    return "data:image/png;base64," + b64encode(folder.image(picture).read_bytes()).decode()

"""The study's pages; what they show is escaped by the template engine."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.design import Trial, alternative
from lomit.apps.study.store import Participant
from lomit.apps.study.trials import places
from lomit.apps.web import render
from lomit.errors import require

SECONDS_A_TRIAL = 6
"""For the duration that the consent page tells."""
REFUSALS = {
    401: ("Not for you", "This needs the owner's token."),
    403: ("Not yet", "Read the first page and agree to it before you go on."),
    404: ("No such page", "The link is wrong or incomplete. Copy it once more from where you got it."),
    410: ("Withdrawn", "Your answers have been deleted; nothing more is stored."),
    429: ("Too fast", "Wait a minute and try it again."),
    503: ("Not just now", "The server can't do this at the moment. Try it again in a few minutes."),
}


def consent_paragraphs(folder: StudyFolder) -> list[str]:
    """The study's words for consent, with its length filled in."""
    trials = max(len(trials) for trials in folder.key.lists)
    minutes = str(max(1, round(trials * SECONDS_A_TRIAL / 60)))
    return [t.replace("{minutes}", minutes).replace("{questions}", str(trials)) for t in folder.study.texts.consent]


class Pages:
    """Renders the pages of one study; `path` is where a page is below the study's own address."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder, self.study = folder, folder.study

    def _render(self, name: str, path: str, **values: Any) -> str:
        """Links of the page go up to where the study stands, whatever is before that."""
        return render(name, up="../" * (path.count("/") - 1), title=self.study.texts.title, **values)

    def consent(self, path: str, query: str = "") -> str:
        """What participants agree to; the form leads to the page's own address."""
        return self._render(
            "consent.html", path, paragraphs=consent_paragraphs(self.folder), contact=self.study.texts.contact,
            external=self.study.external_id, query=query,
        )  # fmt: skip

    def trials(self, path: str, who: Participant) -> str:
        """The page that asks."""
        return self._render("trials.html", path, preview=who.sort == "preview")

    def owner(self, path: str) -> str:
        """The owner's page; it holds nothing until the token is given."""
        return self._render("owner.html", path, panel=bool(self.study.external_id))

    def message(self, path: str, heading: str, text: str) -> str:
        """A page with one sentence."""
        return self._render("message.html", path, heading=heading, text=text)

    def refused(self, path: str, status: int) -> str:
        """Why there is nothing."""
        return self.message(path, *REFUSALS.get(status, ("This did not work", "Go back and try it again.")))


def preview_page(folder: StudyFolder, number: int) -> str:
    """Everything that list `number` (from 0) shows, pictures inside, and the key beside it: for the owner alone.

    Raises LomitError where the extra is missing.
    """
    require("the preview", "apps", "jinja2")
    study, trials = folder.study, folder.key.lists[number]

    def told(trial: Trial) -> dict[str, object]:
        pictures = [
            (place, "data:image/png;base64," + b64encode(folder.image(p).read_bytes()).decode(),
             alternative(p) if place in ("left", "right") else "")
            for place, p in places(trial).items()
        ]  # fmt: skip
        return {"role": trial.role, "pictures": pictures}

    return render(
        "preview.html", study=study, number=number + 1, lists=study.lists, total=len(trials),
        blocks=[(block, [told(t) for t in trials if t.block == block.name]) for block in study.blocks],
        texts=[*consent_paragraphs(folder), *study.texts.instructions],
    )  # fmt: skip

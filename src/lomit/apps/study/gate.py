"""Who is let in: by a participant's link, the study's join link or the owner's token, and nobody too often."""

from __future__ import annotations

import hmac
import re
from typing import Any

from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.store import AnswerStore, Participant
from lomit.apps.web import Limiter, address_of, hashed

NAME = re.compile(r"\w[\w.@+-]{0,99}")
"""How a panel may call a participant."""


class Gate:
    """Lets in who has a link, and nobody too often."""

    def __init__(self, folder: StudyFolder, store: AnswerStore, rate: float, joins: float) -> None:
        self.access, self.store = folder.access, store
        # All pictures of a study may be fetched at once, by two browsers.
        pictures = max(sum(len(trial.pictures) for trial in trials) for trials in folder.key.lists)
        self.participants = Limiter(rate, max(400.0, 4 * rate, 2.0 * pictures))
        self.strangers = Limiter(joins, 300)
        # 256 random bits need no help against guessing; this keeps the attempts cheap.
        self.owners = Limiter(0.2, 20)

    def participant(self, secret: str, request: Any) -> Participant:
        """Whose link it is."""
        found = self.store.find(secret)
        if found is None:
            self._pace(self.strangers, address_of(request.scope))
            raise refusal(404)
        self._pace(self.participants, str(found.id))
        return found

    def joining(self, word: str, request: Any, making: bool) -> None:
        """Whether the join link is the study's."""
        right = hmac.compare_digest(hashed(word), hashed(self.access.join))
        if making or not right:
            self._pace(self.strangers, address_of(request.scope))
        if not right:
            raise refusal(404)

    @staticmethod
    def panel_name(request: Any, parameter: str) -> str | None:
        """The name that the join link brings along; None where the study stores none, or the link has none.

        One that is too long, or was never filled in by the panel (`{{%ID%}}`), would make one participant of several.
        """
        given = request.query_params.getlist(parameter) if parameter else []
        if not given or not given[0]:
            return None
        if not NAME.fullmatch(given[0]):
            raise refusal(404)
        return str(given[0])

    def owner(self, request: Any) -> None:
        """Whether the request carries the owner's token."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(hashed(secret.strip()), self.access.owner):
            self._pace(self.owners, address_of(request.scope))
            raise refusal(401, **{"www-authenticate": "Bearer"})

    @staticmethod
    def _pace(limiter: Limiter, who: str) -> None:
        seconds = limiter.wait(who)
        if seconds:
            raise refusal(429, **{"retry-after": str(int(seconds) + 1)})


def refusal(status: int, **headers: str) -> Exception:
    """What ends a request with this status."""
    from fastapi import HTTPException

    return HTTPException(status, headers=headers or None)

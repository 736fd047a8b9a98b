"""Words that open something: links of participants and the owner's token."""

from __future__ import annotations

import hashlib
import secrets


def token() -> str:
    """256 random bits for a link: nobody guesses one."""
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """What is kept of a token.  It is as long as the hash is wide, so it needs neither salt nor a slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()

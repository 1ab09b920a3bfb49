"""Whether what a path names is the asker's own: one segment, compared as text with the subject or a claim."""

from __future__ import annotations

import json
from typing import Any

from authz_sidecar.core.verdicts import Identity, Own


def owns(identity: Identity, own: Own, named: str) -> bool:
    """`named`: the segment, percent-decoded once. Nothing is made alike: `007` is not `7`."""
    if own.claim is None:
        return named == identity.subject
    return named == _text(claim(identity, own.claim))


def claim(identity: Identity, name: str) -> Any:
    """What a claim of the verified token says; `None` when it is not there."""
    return json.loads(identity.claims).get(name) if identity.claims else None


def _text(value: object) -> str | None:
    """A claim as text. Only text and whole numbers have one form; what is of another kind equals nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None

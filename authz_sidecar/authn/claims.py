"""What a token must claim (RFC 7519, RFC 9068), and what we take from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import Any

from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.documents import MAX_INTEGER, MAX_TEXT
from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.verdicts import Code, Identity

LATEST = 253402300799
"""The last second of the year 9999."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Claims = Mapping[str, Any]


def identity(claims: Claims, settings: Issuer, key_id: str, payload: bytes) -> Identity:
    """The identity that verified claims give; `payload` is the claims as they came, in JSON.

    Raises Refused. The validity times are not judged here.
    """
    if claims.get("iss") != settings.issuer:
        raise _invalid("has another issuer")
    _check_audience(claims.get("aud"), settings.audiences)
    return Identity(
        subject=_subject(claims, settings.subject_claim),
        name=_name(claims.get(settings.name_claim)),
        key_id=key_id,
        expires_at=_instant(claims, "exp") + settings.leeway,
        not_before=_not_before(claims),
        token_generation=_generation(claims) if settings.revision_claims else None,
        min_revision=_revision(claims) if settings.revision_claims else None,
        issued_after=-inf if settings.revision_claims else _issued_after(claims, settings.leeway),
        scopes=_scopes(claims),
        claims=payload,
        issuer=settings.issuer,
        user_field=settings.user_field,
    )


def _check_audience(claimed: object, accepted: tuple[str, ...]) -> None:
    audiences = claimed if isinstance(claimed, list) else [claimed]
    if not all(isinstance(each, str) for each in audiences) or not set(accepted) & set(audiences):
        raise _invalid("is meant for another audience")


def _subject(claims: Claims, name: str) -> str:
    """An address counts only where the issuer says that it has seen to whose it is."""
    claimed = claims.get(name)
    if not isinstance(claimed, str) or not 0 < len(claimed) <= MAX_TEXT or _CONTROLS.search(claimed):
        raise _invalid(f"needs a {name} of 1 to {MAX_TEXT} characters")
    if name == "email" and claims.get("email_verified") is not True:
        raise _invalid("needs email_verified: true beside email")
    return claimed


def _scopes(claims: Claims) -> frozenset[str]:
    """From `scope` (RFC 9068 §2.2.3), or from `scp`, as Microsoft and Okta call it, a list or text as well.

    What is of another kind gives none: nobody is refused for it who needs no scope.
    """
    said = claims["scope"] if "scope" in claims else claims.get("scp")
    if isinstance(said, str):
        return frozenset(said.split(" ")) - {""}
    if isinstance(said, list) and all(isinstance(each, str) for each in said):
        return frozenset(said)
    return frozenset()


def _name(claimed: object) -> str:
    """Nothing hangs on it, so one that is none is as good as none."""
    fit = isinstance(claimed, str) and len(claimed) <= MAX_TEXT and not _CONTROLS.search(claimed)
    return str(claimed) if fit else ""


def _not_before(claims: Claims) -> float | None:
    """A token is not valid before it was issued either."""
    return max((_instant(claims, name) for name in ("nbf", "iat") if name in claims), default=None)


def _issued_after(claims: Claims, leeway: float) -> float:
    """For tokens without a generation; without an `iat`, too, they may be of any age."""
    return _instant(claims, "iat") - leeway if "iat" in claims else -inf


def _instant(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise _invalid(f"needs {name} in seconds since 1970")
    return float(value)


def _generation(claims: Claims) -> int:
    value = claims.get("authz_gen")
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise _invalid("needs authz_gen, a number from 0")
    return value


def _revision(claims: Claims) -> RevisionToken | None:
    """Left out by the User service only while its change log cannot be read."""
    if "authz_rev" not in claims:
        return None
    value = claims["authz_rev"]
    try:
        if isinstance(value, str):
            return RevisionToken.parse(value)
    except ValueError:
        pass
    raise _invalid("has an authz_rev that is no revision token")


def _invalid(message: str) -> Refused:
    return Refused(Code.TOKEN_INVALID, f"the access token {message}")

"""One issuer of access tokens: what its tokens must be, whose keys sign them, and whom they name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Nothing of one issuer counts for tokens of another. Times in seconds."""

    issuer: str
    """Its `iss`, exactly."""
    audiences: tuple[str, ...]
    """One of them must be in `aud`. The first is the service's own name."""
    algorithms: frozenset[str]
    type: str
    """Required `typ`; empty: any."""
    leeway: float
    revision_claims: bool
    """Whether `authz_gen` and `authz_rev` are required and obeyed."""
    jwks_url: str | None
    """Where its keys are; `None`: where its discovery document says."""
    jwks_max_age: float
    subject_claim: str = "sub"
    """Names the user."""
    user_field: str | None = None
    """What of the User service's users it names; `None`: whatever its log names them by first."""
    name_claim: str = "preferred_username"
    """What people call the user: told to the service, decided by nowhere."""

    @property
    def keys_place(self) -> str:
        """Where finding its keys begins."""
        return self.jwks_url or self.discovery_url

    @property
    def discovery_url(self) -> str:
        """OpenID Connect Discovery 1.0, section 4."""
        return f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"


def user_fields(issuers: Iterable[Issuer]) -> frozenset[str]:
    """All by which these say that their tokens name users."""
    return frozenset(each.user_field for each in issuers if each.user_field is not None)

"""The settings of access tokens: the short form for one issuer, or the file of several."""

from __future__ import annotations

from pathlib import Path

from authz_sidecar.config import addresses, parsers
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.setting import group, setting


@group
class JwtSettings:
    """What an access token must be, and whose keys sign it. Times in seconds."""

    issuers_path: Path | None = setting(
        "AUTHZ_ISSUERS_FILE",
        parsers.readable_file,
        "file of the issuers whose tokens are accepted, in place of all other AUTHZ_JWT_* and AUTHZ_JWKS_*",
        default=None,
    )
    issuer: str | None = setting(
        "AUTHZ_JWT_ISSUER",
        parsers.printable,
        "required `iss` of access tokens (required unless there is AUTHZ_ISSUERS_FILE)",
        default=None,
    )
    audience: str | None = setting(
        "AUTHZ_JWT_AUDIENCE",
        parsers.printable,
        "required `aud` of access tokens (required unless there is AUTHZ_ISSUERS_FILE)",
        default=None,
    )
    algorithms: frozenset[str] = setting(
        "AUTHZ_JWT_ALGORITHMS",
        parsers.algorithms,
        "accepted signature algorithms",
        default="RS256,ES256,EdDSA",
    )
    type: str = setting(
        "AUTHZ_JWT_TYPE",
        parsers.printable,
        "required `typ` (empty: any)",
        default="at+jwt",
        empty_counts=True,
    )
    leeway: float = setting(
        "AUTHZ_JWT_LEEWAY", parsers.seconds(0, 300), "seconds that clocks may differ", default="5"
    )
    revision_claims: bool = setting(
        "AUTHZ_JWT_REVISION_CLAIMS",
        parsers.boolean,
        "require and obey `authz_gen` and `authz_rev`; `false` for tokens of another identity provider",
        default="true",
    )
    name_claim: str = setting(
        "AUTHZ_JWT_NAME_CLAIM",
        parsers.printable,
        "claim with what people call the user: told to the service (AUTHZ_IDENTITY), decided by nowhere",
        default="preferred_username",
    )
    jwks_url: str = setting(
        "AUTHZ_JWKS_URL",
        addresses.any_url,
        "signing keys (unset: /.well-known/jwks.json of the User service)",
        default_from=lambda values: f"{values['AUTHZ_USER_SERVICE']}/.well-known/jwks.json",
    )
    jwks_max_age: float = setting(
        "AUTHZ_JWKS_MAX_AGE",
        parsers.seconds(60, 604800),
        "seconds the last good key set is used while it cannot be refreshed",
        default="3600",
    )

    @property
    def alone(self) -> Issuer:
        """The one issuer of the settings, where there is no file of issuers."""
        return Issuer(
            issuer=self.issuer or "",
            audiences=(self.audience or "",),
            algorithms=self.algorithms,
            type=self.type,
            leeway=self.leeway,
            revision_claims=self.revision_claims,
            jwks_url=self.jwks_url,
            jwks_max_age=self.jwks_max_age,
            name_claim=self.name_claim,
        )

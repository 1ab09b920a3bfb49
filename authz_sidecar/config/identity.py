"""What the service is told of who asks."""

from __future__ import annotations

from typing import Final, Literal, get_args

from authz_sidecar.config import parsers
from authz_sidecar.config.addresses import items
from authz_sidecar.config.setting import group, setting

Part = Literal["subject", "name", "revision", "token"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
NAMES: Final[dict[Part, str]] = {
    "subject": "X-Authz-Subject",
    "name": "X-Authz-Name",
    "revision": "X-Authz-Revision",
    "token": "X-Authz-Identity",
}
"""All of one family, of which nothing that a client sends ever passes, in any spelling."""
MIN_KEY_CHARACTERS: Final = 32


def parts(text: str) -> tuple[Part, ...]:
    """Some of them, in their usual order."""
    named = items(text)
    if not set(named) <= set(PARTS):
        raise ValueError(f"must be some of {','.join(PARTS)}")
    return tuple(part for part in PARTS if part in named)


def key(text: str) -> str:
    if len(parsers.credential(text)) < MIN_KEY_CHARACTERS:
        raise ValueError(f"must be {MIN_KEY_CHARACTERS} visible ASCII characters or more, chosen by chance")
    return text


@group
class IdentitySettings:
    """What goes to the service, or to a gateway for it, with a request whose token is good."""

    parts: tuple[Part, ...] = setting(
        "AUTHZ_IDENTITY",
        parts,
        "what the service is told of who asks: some of `subject`, `name`, `revision` and `token`, in "
        "X-Authz-Subject, X-Authz-Name, X-Authz-Revision and X-Authz-Identity (unset: nothing)",
        default="",
    )
    key: str | None = setting(
        "AUTHZ_IDENTITY_KEY",
        key,
        "what the token in X-Authz-Identity is signed with (HS256); the service has the same",
        default=None,
        secret=True,
    )

"""Several issuers of tokens: each token is judged by the one that it names, and by nothing of another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from authz_sidecar.authn import tokens
from authz_sidecar.authn.tokens import LARGEST_ENTRY, Keys, TokenAuthenticator
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.ports import Authenticator, Pending
from authz_sidecar.core.remembered import Remembered
from authz_sidecar.core.verdicts import Code, Identity

REMEMBERED_BYTES: Final = 4 * 1024 * 1024
"""For which issuer tokens name: it is read anew otherwise."""


class IssuersAuthenticator:
    """Implements `core.ports.Authenticator` over one for each issuer, by its `iss`.

    What a token says of its issuer is believed only so far that it is put before that one's authenticator,
    which has keys, rules and a memory of its own, and demands the same `iss` again once it is verified.
    """

    def __init__(self, issuers: Mapping[str, TokenAuthenticator]) -> None:
        self._issuers = issuers
        self._named = Remembered(self._find, REMEMBERED_BYTES, largest_entry=LARGEST_ENTRY)

    def authenticate(self, token: bytes, now: float) -> Identity | Pending:
        """`now` in Unix seconds. Raises Refused."""
        return self._issuers[self._named[token]].authenticate(token, now)

    def _find(self, token: bytes) -> str:
        issuer = tokens.named_issuer(token)
        if issuer is None or issuer not in self._issuers:
            raise Refused(Code.TOKEN_INVALID, "the access token has an issuer that is not accepted here")
        return issuer


def authenticator(issuers: Iterable[Issuer], keys: Mapping[str, Keys]) -> Authenticator:
    """Judges their tokens by their keys, by issuer. Where there is one, nothing has to be found out first."""
    found = {each.issuer: TokenAuthenticator(each, keys[each.issuer]) for each in issuers}
    return IssuersAuthenticator(found) if len(found) > 1 else next(iter(found.values()))

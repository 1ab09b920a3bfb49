"""Settings are read from flags and environment, with every mistake reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from authz_sidecar.config import own, tls
from authz_sidecar.config.addresses import UpstreamAddress
from authz_sidecar.config.identity import NAMES
from authz_sidecar.config.setting import Setting, Values, fill
from authz_sidecar.config.table import TABLE, Settings
from authz_sidecar.core.errors import ConfigurationError, Problem

_LISTENERS = ("AUTHZ_LISTEN", "AUTHZ_ADMIN_LISTEN", "AUTHZ_DECISIONS_LISTEN")


def load(flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Settings from flags (keyed by variable name) and environment; a flag wins.

    Raises ConfigurationError with every problem found.
    """
    problems: list[Problem] = []
    values = {each.variable: _value(each, flags, environ, problems) for each in TABLE}
    problems += _issuer_problems(flags, environ)
    problems += _contradictions(values)
    problems += _tls_problems(values, {problem.place for problem in problems})
    if problems:
        raise ConfigurationError(problems)
    for each in TABLE:
        if values[each.variable] is None and each.default_from is not None:
            values[each.variable] = each.default_from(values)
    return fill(Settings, values)


def one(variable: str, environ: Mapping[str, str]) -> Any:
    """One setting alone, for a program that needs no others. Raises ConfigurationError."""
    return some((variable,), {}, environ)[0]


def some(variables: Sequence[str], flags: Mapping[str, str], environ: Mapping[str, str]) -> list[Any]:
    """These settings, in this order. Raises ConfigurationError with every problem."""
    problems: list[Problem] = []
    known = {each.variable: each for each in TABLE}
    values = [_value(known[variable], flags, environ, problems) for variable in variables]
    if problems:
        raise ConfigurationError(problems)
    return values


def _value(
    setting: Setting, flags: Mapping[str, str], environ: Mapping[str, str], problems: list[Problem]
) -> object:
    """The parsed value of one setting, or `None` and perhaps a problem."""
    text = None
    try:
        text = _given(setting, flags, environ)
        if text is None or (text == "" and not setting.empty_counts):
            if setting.required:
                raise ValueError(f"is required: {setting.help} (or {setting.flag})")
            text = setting.default
        return None if text is None else setting.parse(text)
    except ValueError as error:
        place = setting.flag if setting.variable in flags else setting.variable
        harmless = text and not setting.secret and "@" not in text  # a URL may hold a password by mistake
        shown = f", not {text!r}" if harmless else ""
        problems.append(Problem(place, f"{error}{shown}"))
        return None


def _given(setting: Setting, flags: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """What the user wrote, from the flag, the variable, or the file of a secret."""
    if setting.variable in flags:
        return flags[setting.variable]
    text = environ.get(setting.variable)
    path = environ.get(f"{setting.variable}_FILE") if setting.secret else None
    if not path:
        return text
    if text:
        raise ValueError(f"is set together with {setting.variable}_FILE: keep one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        wrong = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ValueError(
            f"cannot be read from the file that {setting.variable}_FILE names: {wrong}"
        ) from error


_ONE_ISSUER = ("AUTHZ_JWT_ISSUER", "AUTHZ_JWT_AUDIENCE")
_OF_ONE_ISSUER = frozenset({*_ONE_ISSUER, "AUTHZ_JWT_ALGORITHMS", "AUTHZ_JWT_TYPE", "AUTHZ_JWT_LEEWAY"}) | {
    "AUTHZ_JWT_REVISION_CLAIMS",
    "AUTHZ_JWT_NAME_CLAIM",
    "AUTHZ_JWKS_URL",
    "AUTHZ_JWKS_MAX_AGE",
}
"""What the file says of each issuer by itself."""


def _issuer_problems(flags: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Either the settings name one issuer, or the file names all."""
    with_file = flags.get("AUTHZ_ISSUERS_FILE") or environ.get("AUTHZ_ISSUERS_FILE")
    for each in TABLE:
        given = flags.get(each.variable) or environ.get(each.variable)
        place = each.flag if each.variable in flags else each.variable
        if with_file and given and each.variable in _OF_ONE_ISSUER:
            yield Problem(place, "must not be set beside AUTHZ_ISSUERS_FILE, which says it for each issuer")
        elif not with_file and not given and each.variable in _ONE_ISSUER:
            help_text = each.help.partition(" (required")[0]
            yield Problem(place, f"is required: {help_text} (or {each.flag})")


def _contradictions(values: Values) -> list[Problem]:
    """Settings that are fine alone and wrong together."""
    problems = []
    ports = {each: values[each] or () for each in _LISTENERS}
    for name, other in combinations(_LISTENERS, 2):
        if any(address.port for address in {*ports[name]} & {*ports[other]}):
            problems.append(Problem(other, f"must be another port than {name}"))
    interval, bound = values["AUTHZ_FEED_INTERVAL"], values["AUTHZ_MAX_STALENESS"]
    if isinstance(interval, float) and isinstance(bound, float) and interval >= bound:
        problems.append(Problem("AUTHZ_FEED_INTERVAL", "must be shorter than AUTHZ_MAX_STALENESS"))
    if values["AUTHZ_PROXY_PROTOCOL"]:
        problems += _proxy_protocol_contradictions(values)
    target, head = values["AUTHZ_MAX_TARGET_BYTES"], values["AUTHZ_MAX_HEAD_BYTES"]
    if isinstance(target, int) and isinstance(head, int) and target >= head:
        problems.append(Problem("AUTHZ_MAX_TARGET_BYTES", "must be less than AUTHZ_MAX_HEAD_BYTES"))
    problems += [*_identity_contradictions(values), *_needs(values), *_workers_contradictions(values)]
    upstream = values["AUTHZ_UPSTREAM"]
    if values["AUTHZ_UPSTREAM_CA"] and isinstance(upstream, UpstreamAddress) and not upstream.tls:
        problems.append(Problem("AUTHZ_UPSTREAM_CA", "must not be set unless AUTHZ_UPSTREAM is https://"))
    if isinstance(upstream, UpstreamAddress):
        for variable, listening in ports.items():
            if own.reaches(upstream, listening):
                message = f"must be the protected service, not {variable} of this very sidecar"
                problems.append(Problem("AUTHZ_UPSTREAM", message))
    return problems


def _needs(values: Values) -> Iterator[Problem]:
    """Settings that are of use beside another one only."""
    if values["AUTHZ_DECISIONS_TOKEN"] is not None and values["AUTHZ_DECISIONS_LISTEN"] == ():
        yield Problem("AUTHZ_DECISIONS_TOKEN", "needs AUTHZ_DECISIONS_LISTEN: AuthZEN is asked there")
    if values["AUTHZ_TOKEN_COOKIE_ORIGINS"] and values["AUTHZ_TOKEN_COOKIE"] == "":
        yield Problem("AUTHZ_TOKEN_COOKIE_ORIGINS", "needs AUTHZ_TOKEN_COOKIE")


_DIVIDED = ("AUTHZ_MAX_CONNECTIONS", "AUTHZ_MAX_UPSTREAM_CONNECTIONS")


def _workers_contradictions(values: Values) -> list[Problem]:
    workers = values["AUTHZ_WORKERS"]
    if not isinstance(workers, int) or workers == 1:
        return []
    return [
        Problem("AUTHZ_WORKERS", f"must not be more than {each}: the limit is divided among them")
        for each in _DIVIDED
        if isinstance(values[each], int) and values[each] < workers
    ]


def _identity_contradictions(values: Values) -> list[Problem]:
    place, problems = "AUTHZ_IDENTITY", []
    named = values["AUTHZ_IDENTITY"] or ()
    if "token" in named and values["AUTHZ_IDENTITY_KEY"] is None:
        problems.append(Problem("AUTHZ_IDENTITY_KEY", "is required for `token` in AUTHZ_IDENTITY"))
    if values["AUTHZ_IDENTITY_KEY"] and "token" not in named:
        problems.append(Problem(place, "must have `token` for AUTHZ_IDENTITY_KEY to be of use"))
    if values["AUTHZ_TOKEN_HEADER"] in {NAMES[part].lower() for part in named}:
        problems.append(Problem("AUTHZ_TOKEN_HEADER", "must be another header than those of AUTHZ_IDENTITY"))
    return problems


def _proxy_protocol_contradictions(values: Values) -> list[Problem]:
    place, problems = "AUTHZ_PROXY_PROTOCOL", []
    if values["AUTHZ_TRUSTED_PROXIES"] == ():
        problems.append(Problem(place, "needs AUTHZ_TRUSTED_PROXIES: who else may name the client?"))
    if values["AUTHZ_TLS_CERT"] or values["AUTHZ_TLS_KEY"]:
        message = "cannot go with AUTHZ_TLS_CERT: its header comes before TLS; let the proxy end TLS"
        problems.append(Problem(place, message))
    return problems


def _tls_problems(values: Values, known: set[str]) -> list[Problem]:
    """Certificate and key make sense only together. `known`: places that have a problem already."""
    certificate, key = values["AUTHZ_TLS_CERT"], values["AUTHZ_TLS_KEY"]
    if certificate is None or key is None:
        return [
            Problem(f"AUTHZ_TLS_{this}", "is required, too")
            for this, other in (("CERT", key), ("KEY", certificate))
            if other is not None and not known & {f"AUTHZ_TLS_{this}", f"--tls-{this.lower()}"}
        ]
    try:
        tls.server(certificate, key)
    except ValueError as error:
        return [Problem("AUTHZ_TLS_KEY", str(error))]
    return []

"""Settings and policy together, as they were read at one instant, and how to read them again."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from authz_sidecar.config import issuers_file, policy_file, reading
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.policy_file import PolicyFile
from authz_sidecar.config.table import TABLE, Settings
from authz_sidecar.core.errors import ConfigurationError, Problem

Contents = Mapping[str, str | None]
"""The digest of each file, by the variable that names it; `None`: it cannot be read."""

_FILES = ("AUTHZ_POLICY", "AUTHZ_ISSUERS_FILE", "AUTHZ_TLS_CERT", "AUTHZ_TLS_KEY", "AUTHZ_UPSTREAM_CA")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a configuration comes from: flags by variable, and the environment. A flag wins."""

    flags: Mapping[str, str]
    environ: Mapping[str, str]

    @property
    def files(self) -> dict[str, Path]:
        """What was named as a file, by variable: only there can anything change while a process lives."""
        named = {name: self.flags.get(name) or self.environ.get(name) for name in _FILES}
        for setting in TABLE:
            if setting.secret and setting.variable not in self.flags:
                named[setting.variable] = self.environ.get(f"{setting.variable}_FILE")
        return {variable: Path(path) for variable, path in named.items() if path}

    def contents(self) -> Contents:
        """What the files hold now. A symbolic link is followed, so that one that was swapped is noticed."""
        return {variable: _digest(path) for variable, path in self.files.items()}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything one sidecar was told."""

    settings: Settings
    file: PolicyFile
    issuers: tuple[Issuer, ...]
    """Whose tokens are accepted: at least one."""
    sources: Sources
    tls: ssl.SSLContext | None
    """What the proxied port proves itself with."""
    contents: Contents
    """Taken before the files were read: what changed meanwhile is found to differ."""


def read(sources: Sources) -> Configuration:
    """Raises ConfigurationError with the problems of settings and policy."""
    contents = sources.contents()
    problems: list[Problem] = []
    loaded: Settings | None = None
    file: PolicyFile | None = None
    try:
        loaded = reading.load(sources.flags, sources.environ)
    except ConfigurationError as error:
        problems += error.problems
    try:
        file = policy(sources)
    except ConfigurationError as error:
        problems += error.problems
    issuers: tuple[Issuer, ...] = ()
    try:
        issuers = _issuers(sources, loaded)
    except ConfigurationError as error:
        problems += error.problems
    if loaded is not None and file is not None:
        problems += _loose_bounds(loaded, file)
    if loaded is None or file is None or problems:
        raise ConfigurationError(problems)
    return Configuration(loaded, file, issuers, sources, _certificate(loaded), contents)


def _loose_bounds(settings: Settings, file: PolicyFile) -> list[Problem]:
    """A rule may ask for fresher permissions than the sidecar does, and for what can be had."""
    most, least = settings.replica.max_staleness, settings.replica.feed_interval
    bounds = {rule.place: rule.requirement.max_staleness for rule in file.policy.rules}
    return [
        Problem(
            place,
            f"max_staleness: must be more than AUTHZ_FEED_INTERVAL ({least:g}) and not more than "
            f"AUTHZ_MAX_STALENESS ({most:g}), not {bound:g}",
        )
        for place, bound in bounds.items()
        if bound < inf and not least < bound <= most
    ]


def _issuers(sources: Sources, settings: Settings | None) -> tuple[Issuer, ...]:
    path = sources.files.get("AUTHZ_ISSUERS_FILE")
    if path is not None:
        return issuers_file.read(path)
    return () if settings is None else (settings.jwt.alone,)


def policy(sources: Sources) -> PolicyFile | None:
    """`None` when no file is named. Raises ConfigurationError with its problems."""
    path = sources.files.get("AUTHZ_POLICY")
    return policy_file.read(path) if path else None


def _certificate(settings: Settings) -> ssl.SSLContext | None:
    try:
        return settings.tls.context()
    except (ValueError, OSError) as error:  # it has changed since it was checked
        raise ConfigurationError([Problem("AUTHZ_TLS_CERT", str(error))]) from error


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None

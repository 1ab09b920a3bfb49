"""The table of settings: its names are a contract, and each setting fills a field of its own."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_network

import pytest

from authz_sidecar.config.setting import fill
from authz_sidecar.config.table import TABLE, Settings

CONTRACT = {
    "AUTHZ_LISTEN": "127.0.0.1:8080",
    "AUTHZ_ADMIN_LISTEN": "127.0.0.1:9901",
    "AUTHZ_UPSTREAM": None,
    "AUTHZ_USER_SERVICE": None,
    "AUTHZ_SERVICE_TOKEN": None,
    "AUTHZ_POLICY": None,
    "AUTHZ_JWT_ISSUER": None,
    "AUTHZ_JWT_AUDIENCE": None,
    "AUTHZ_JWT_ALGORITHMS": "RS256,ES256,EdDSA",
    "AUTHZ_JWT_TYPE": "at+jwt",
    "AUTHZ_TOKEN_HEADER": "Authorization",
    "AUTHZ_ADMIN_TOKEN": None,
    "AUTHZ_TRUSTED_PROXIES": "",
    "AUTHZ_REDIS_URL": None,
    "AUTHZ_AMQP_URL": None,
    "AUTHZ_FEED_INTERVAL": "0.5",
    "AUTHZ_MAX_STALENESS": "30",
    "AUTHZ_VALIDATION": "cached",
    "AUTHZ_MODE": "enforce",
}


def test_names_and_defaults_are_the_contract() -> None:
    table = {setting.variable: setting.default for setting in TABLE}
    assert table.items() >= CONTRACT.items()


def test_no_two_settings_share_a_name() -> None:
    names = Counter(name for setting in TABLE for name in (setting.variable, setting.flag))
    assert set(names.values()) == {1}


def test_every_default_is_one_that_could_be_given() -> None:
    for setting in TABLE:
        if setting.default is not None:
            setting.parse(setting.default)


def trusting(*networks: str) -> Settings:
    trusted = {"AUTHZ_TRUSTED_PROXIES": tuple(map(ip_network, networks))}
    return fill(Settings, {**dict.fromkeys(each.variable for each in TABLE), **trusted})


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("::1", True),
        ("", False),
        ("x", False),
    ],
)
def test_trusted_peers(peer: str, trusted: bool) -> None:
    assert trusting("10.0.0.0/8", "::1").trusts(peer) is trusted
    assert not trusting().trusts(peer)

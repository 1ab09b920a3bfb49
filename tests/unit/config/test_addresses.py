"""Addresses: of this machine or not, and where the protected service is."""

from __future__ import annotations

import pytest

from authz_sidecar.config import addresses
from authz_sidecar.config.addresses import UpstreamAddress


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("host:1", False),
    ],
)
def test_loopback_addresses(address: str, loopback: bool) -> None:
    listen = addresses.address(address)
    assert listen.is_loopback is loopback
    assert str(listen) == address


@pytest.mark.parametrize(
    ("text", "wanted", "authority"),
    [
        ("http://student", UpstreamAddress("student", 80), "student:80"),
        ("http://student:8001/", UpstreamAddress("student", 8001), "student:8001"),
        ("https://Student", UpstreamAddress("student", 443, tls=True), "student:443"),
        ("http://[::1]:8001", UpstreamAddress("::1", 8001), "[::1]:8001"),
        ("unix:/run/a.sock", UpstreamAddress("localhost", 0, path="/run/a.sock"), "localhost"),
    ],
)
def test_upstreams(text: str, wanted: UpstreamAddress, authority: str) -> None:
    assert UpstreamAddress.parse(text) == wanted
    assert wanted.authority == authority

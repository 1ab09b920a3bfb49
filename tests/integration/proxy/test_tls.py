"""TLS on either side."""

from __future__ import annotations

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wire import running

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
POST = (
    b"POST /students/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bob\r\nContent-Length: 1000000\r\n\r\nabc"
)

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    """A server's context with a certificate for localhost, and a client's that trusts it."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(_certificate())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


async def test_tls_to_the_upstream(contexts: Contexts) -> None:
    async with running(answer=OK, upstream_tls=contexts) as rig:
        assert (await rig.ask(GET)).endswith(b"x" * 300_000)


async def test_an_upstream_certificate_that_is_not_trusted_is_502(contexts: Contexts) -> None:
    server, _ = contexts
    async with running(answer=OK, upstream_tls=(server, ssl.create_default_context())) as rig:
        assert (await rig.ask(GET)).startswith(b"HTTP/1.1 502 ")


async def test_tls_from_the_client(contexts: Contexts) -> None:
    async with running(answer=OK, tls=contexts) as rig:
        assert (await rig.ask(GET)).endswith(b"x" * 300_000)
        assert b"X-Forwarded-Proto: https\r\n" in rig.upstream.received


async def test_a_refusal_in_mid_body_over_tls(contexts: Contexts) -> None:
    async with running(tls=contexts) as rig:
        client = await rig.client()
        await client.send(POST)
        assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
        await client.closed()

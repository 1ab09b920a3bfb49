"""TLS contexts. Which versions they speak is not left to how this Python and its OpenSSL were built."""

from __future__ import annotations

import ssl
from pathlib import Path


def client(authorities: Path | None = None) -> ssl.SSLContext:
    """Checks the server's certificate and name: by these authorities alone, or by the system's.

    Raises `ssl.SSLError` when the file holds none.
    """
    return _modern(ssl.create_default_context(cafile=authorities))


def server(certificate: Path, key: Path) -> ssl.SSLContext:
    """For HTTP/1.1, with this certificate chain and its private key. Raises ValueError with the mend."""

    def no_passphrase() -> str:
        raise ValueError("must not be encrypted: nobody is there to give the passphrase")

    context = _modern(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        raise ValueError(
            "must be the PEM private key of the certificate in AUTHZ_TLS_CERT, which must be PEM, too"
        ) from error
    return context


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    return context

"""What the proxied port proves itself with."""

from __future__ import annotations

import ssl
from pathlib import Path

from authz_sidecar.config import parsers, tls
from authz_sidecar.config.setting import group, setting


@group
class ServerTls:
    """What the proxied port proves itself with. Both or neither: without, clients speak plain HTTP."""

    certificate: Path | None = setting(
        "AUTHZ_TLS_CERT",
        parsers.readable_file,
        "certificate chain (PEM file): clients must speak TLS",
        default=None,
    )
    key: Path | None = setting(
        "AUTHZ_TLS_KEY", parsers.readable_file, "its private key (PEM file, not encrypted)", default=None
    )

    def context(self) -> ssl.SSLContext | None:
        """Reads the files. Raises ValueError when they do not fit; settings were loaded only if they did."""
        if self.certificate is None or self.key is None:
            return None
        return tls.server(self.certificate, self.key)

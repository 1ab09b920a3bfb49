"""A realm whose answers and tokens are shaped as Keycloak's: discovery, a set of keys, access tokens."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

REALM = "/realms/school"
CERTS = f"{REALM}/protocol/openid-connect/certs"


class Realm:
    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        keys = [public | {"kid": "enc", "alg": "RSA-OAEP", "use": "enc"}]
        keys.append(public | {"kid": "sig", "alg": "RS256", "use": "sig"})
        realm = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = (
                    {"issuer": realm.issuer, "jwks_uri": realm.url + CERTS}
                    if "well-known" in self.path
                    else None
                )
                body = json.dumps(found or {"keys": keys}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def issuer(self) -> str:
        return self.url + REALM

    def token(self, type: str = "JWT", **claims: Any) -> str:
        now = int(time.time())
        usual = {
            **{"exp": now + 300, "iat": now, "iss": self.issuer, "aud": ["student-service", "account"]},
            **{"sub": "6f1c2d3e-7a44-4f0b-9a2d-3f6f2f1f0a5b", "typ": "Bearer", "azp": "spa"},
            **{"scope": "openid email profile", "preferred_username": "bob"},
        }
        return jwt.encode({**usual, **claims}, self._key, "RS256", {"typ": type, "kid": "sig"})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

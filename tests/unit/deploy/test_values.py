"""Values of the chart that make no sense are refused, with the place."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from lab import manifests

SCHEMA = json.loads(manifests.SCHEMA.read_text())
DEFAULTS = yaml.safe_load((manifests.CHART / "values.yaml").read_text())
EXAMPLE = yaml.safe_load(manifests.EXAMPLE.read_text())

GOOD: list[dict[str, Any]] = [
    {},
    {"sidecar.settings": {"AUTHZ_MAX_STALENESS": 10, "AUTHZ_LOG_LEVEL": "debug"}},
    {"userService.enabled": False, "sidecar.userServiceUrl": "https://users.example.org"},
    {"service.enabled": False},
    {"rabbitmq.mode": "operator", "tls.issuer.name": "authz"},
    {"podDisruptionBudget.maxUnavailable": "25%"},
    {"networkPolicy.clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
]
BAD: list[dict[str, Any]] = [
    {"sidecars": {}},
    {"issuer": ""},
    {"issuer": "http://users.example.com"},
    {"service.enabled": False, "userService.enabled": False},
    {"service.name": ""},
    {"service.name": "Student_Service"},
    {"service.name": "x" * 51},
    {"service.replicas": 0},
    {"service.replicas": "two"},
    {"service.image.repository": ""},
    {"service.image.tag": "latest"},
    {"service.image.tag": ""},
    {"service.port": 70000},
    {"service.env": {"DATABASE_URL": "postgres://user:password@db/students"}},
    {"service.env": {"NOT A NAME": "x"}},
    {"service.env": {"NAME": ["a", "list"]}},
    {"service.secretEnv": {"DATABASE_URL": "postgres://user:password@db/students"}},
    {"service.secretEnv": {"DATABASE_URL": {"key": "url"}}},
    {"service.migrate.command": "python manage.py migrate"},
    {"service.livenessProbe": {"httpGet": {"path": "/livez", "port": 8000}}},
    {"service.data.mountPath": "/tmp"},  # noqa: S108 (a path in containers)
    {"service.data.mountPath": "data"},
    {"service.data.size": "1GB"},
    {"service.resources": {}},
    {"sidecar.audience": ""},
    {"sidecar.mode": "permissive"},
    {"sidecar.validation": "none"},
    {"sidecar.userServiceUrl": "http://users.example.org"},
    {"sidecar.userServiceUrl": "https://user:password@users.example.org"},
    {"userService.enabled": False},
    {"sidecar.policy": {}},
    {"sidecar.policy": {"version": 2, "rules": []}},
    {"sidecar.policy": {"version": 1, "rules": [{"permission": "students.add_student"}]}},
    {"sidecar.policy": {"version": 1, "rules": [{"path": "/x/", "permission": "add student"}]}},
    {"sidecar.port": 80},
    {"sidecar.drainSeconds": -1},
    {"sidecar.secret": ""},
    {"sidecar.settings": {"AUTHZ_MAX_STALENES": "10"}},
    {"sidecar.settings": {"AUTHZ_SERVICE_TOKEN": "secret"}},
    {"sidecar.settings": {"AUTHZ_UPSTREAM": "http://elsewhere"}},
    {"sidecar.resources": {"requests": {"cpu": "1"}, "limits": {}}},
    {"userService.audiences": []},
    {"userService.audiences": ["students,teachers"]},
    {"userService.hosts": ["https://users.example.com"]},
    {"userService.sidecars": [{"name": "students"}]},
    {"userService.env": {"DJANGO_SECRET_KEY": "secret"}},
    {"relay.replicas": 0},
    {"rabbitmq.mode": "amqp"},
    {"rabbitmq.mode": "operator"},
    {"redis.mode": "operator"},
    {"rabbitmq.replicas": 2},
    {"redis.image": "redis"},
    {"redis.image": "redis:latest"},
    {"redis.memory": 512},
    {"tls.issuer.kind": "Authority"},
    {"networkPolicy.clients": [{}]},
    {"networkPolicy.monitoring": [{"namespace": "monitoring"}]},
    {"podDisruptionBudget.maxUnavailable": 0},
    {"podDisruptionBudget.maxUnavailable": "0%"},
    {"monitoring.serviceMonitor.interval": "15"},
    {"tmpSize": ""},
    {"tmpSize": "unlimited"},
    {"userId": 0},
]


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As Helm does it."""
    both = copy.deepcopy(base)
    for name, value in over.items():
        deeper = isinstance(value, dict) and isinstance(both.get(name), dict)
        both[name] = merged(both[name], value) if deeper else value
    return both


def values(changes: dict[str, Any]) -> dict[str, Any]:
    made = merged(DEFAULTS, EXAMPLE)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = made
        for each in parents:
            place = place[each]
        place[last] = value
    return made


VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_what_makes_sense_is_taken(changes: dict[str, Any]) -> None:
    assert [each.message for each in VALIDATOR.iter_errors(values(changes))] == []


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(values(changes))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sidecar.mode=permissive", "/sidecar/mode"),
        ("sidecar.policy.rules[0].path=null", "/sidecar/policy/rules/0/path"),
        ("sidecar.port=8000", "ports of one pod"),
        ("service.migrate.secrets[0]=OTHER", "service.migrate.secrets names OTHER"),
    ],
)
def test_helm_tells_the_place(helm: str, setting: str, said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        manifests.render([manifests.EXAMPLE], setting)
    assert said in raised.value.stderr


def test_every_value_is_described() -> None:
    """The schema knows each default, and no other."""

    def names(schema: dict[str, Any], defaults: Any) -> None:
        described = schema.get("properties")
        if described is None or not isinstance(defaults, dict):
            return
        assert set(described) - {"global", "key"} == set(defaults)
        for name, value in defaults.items():
            names(described[name], value)

    names(SCHEMA, DEFAULTS)


def test_settings_and_policy_are_described_as_by_the_sidecar() -> None:
    """`python -m lab.manifests` renews them."""
    assert manifests.with_the_sidecars_own(SCHEMA) == SCHEMA

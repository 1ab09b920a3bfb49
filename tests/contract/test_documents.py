"""The documents of the contract: golden messages are valid, the calls are those that there are."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from authz_changelog.publishing import broker
from authz_changelog.sidecars import grants, parameters
from authz_changelog.urls import urlpatterns
from authz_sidecar.core import wire
from authz_sidecar.core.errors import MalformedMessage
from lab import ROOT

MESSAGES = Path(__file__).parent / "messages"
SCHEMAS, OPENAPI, ASYNCAPI = (
    json.loads((ROOT / f"docs/contract/{name}.json").read_text())
    for name in ("schemas", "openapi", "asyncapi")
)
Parse = Callable[[bytes], object]
READ: list[tuple[str, int, str, Parse]] = [
    ("change.json", 0, "change", wire.parse_message),
    ("deletion.json", 0, "change", wire.parse_message),
    ("heartbeat.json", 0, "heartbeat", wire.parse_message),
    ("changes.ndjson", 0, "change", wire.parse_change),
    ("head.json", 0, "head", wire.parse_head),
    ("snapshot.ndjson", 0, "snapshot_head", wire.parse_snapshot_head),
    ("snapshot.ndjson", 1, "line", lambda line: wire.parse_snapshot_line(line, 42)),
    ("snapshot.ndjson", -1, "snapshot_end", lambda line: wire.parse_snapshot_line(line, 42)),
    ("digest.json", 0, "digest", wire.parse_digest),
    ("subject.json", 0, "subject", lambda body: wire.parse_subject(body, "17")),
    ("unknown-subject.json", 0, "no_subject", lambda body: wire.parse_no_subject(body, "18")),
    ("check.json", 0, "decision", wire.parse_check),
    ("history.json", 0, "history", lambda body: wire.parse_history(body, "17")),
]


def is_valid(name: str, value: object) -> bool:
    schema = {"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def is_read(parse: Parse, value: object) -> bool:
    try:
        parse(json.dumps(value).encode())
    except MalformedMessage:
        return False
    return True


@pytest.mark.parametrize(("file", "number", "name", "parse"), READ)
def test_what_a_sidecar_needs_the_schema_demands(file: str, number: int, name: str, parse: Parse) -> None:
    message = json.loads((MESSAGES / file).read_text().splitlines()[number])
    assert is_valid(name, message)
    assert is_read(parse, message)
    for field in message:
        for worse in ({key: message[key] for key in message if key != field}, {**message, field: [0]}):
            assert is_read(parse, worse) or not is_valid(name, worse), field


def test_the_schemas_are_schemas_and_every_reference_leads_somewhere() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS)
    documents = {"": SCHEMAS, "schemas.json": SCHEMAS}
    for document in (SCHEMAS, OPENAPI, ASYNCAPI):
        for reference in re.findall(r'"\$ref": "([^"]*)"', json.dumps(document)):
            file, _, place = reference.partition("#/")
            found: Any = documents[file] if file else document
            for part in place.split("/"):
                found = found[part]


def calls() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in OPENAPI["paths"].items():
        for call in methods.values():
            yield path, call


def test_the_calls_are_those_that_exist() -> None:
    routes = {f"/{pattern.pattern}".replace("<path:sub>", "{sub}") for pattern in urlpatterns}
    assert set(OPENAPI["paths"]) == routes
    taken = {
        "changes": {*parameters.ChangesQuery().fields, "proof"},
        "snapshot": {*parameters.SnapshotQuery().fields, "proof"},
        "digest": {*parameters.DigestQuery().fields, "proof"},
        "history": {*parameters.HistoryQuery().fields, "proof"},
    }
    for _, call in calls():
        named = {each["name"] for each in call["parameters"] if each.get("in") == "query"}
        assert named == taken.get(call["operationId"], named & {"proof"})
    assert set(SCHEMAS["$defs"]["question"]["properties"]) == set(parameters.Question().fields)


def test_check_knows_no_other_reason() -> None:
    source = Path(grants.__file__).read_text()
    for reason in SCHEMAS["$defs"]["decision"]["properties"]["reason"]["enum"]:
        assert f'"{reason}"' in source


def test_the_exchange_is_the_one_that_is_published_to() -> None:
    exchange = ASYNCAPI["channels"]["changes"]["bindings"]["amqp"]["exchange"]
    assert exchange["name"] == broker.EXCHANGE
    declared = f'exchange_type="{exchange["type"]}", durable={exchange["durable"]}'
    assert declared in Path(broker.__file__).read_text()

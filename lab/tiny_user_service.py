"""A User service without Django: what a sidecar needs of one, from the standard library alone.

    AUTHZ_SERVICE_TOKEN=… python -m lab.tiny_user_service 8000 [--wrong FAULT]

Everything is in memory. `PUT /users/17` and `PUT /groups/3` with a state, or `null`, make the next revision.
With a fault it breaks one rule of the contract, for those who test whether that is noticed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

State = dict[str, Any] | None
Key = tuple[str, str]
FAULTS = (
    "answers-anybody",
    "feeds-anybody",
    "gap",
    "truncated-snapshot",
    "stale-snapshot",
    "other-fields",
    "wrong-digest",
    "empty-404",
    "knows-every-history",
    "allows-everything",
)
FIELDS = ["id"]
"""By which users are named."""
OLDEST = 0
"""Nothing is ever deleted from the log: it begins at revision 0."""


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def instant() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Log:
    """Every change of a user or group, in order; who reads it holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.epoch = str(uuid.uuid4())
        self.at = [instant()]
        """Of each revision; the first is empty."""
        self.changes: list[tuple[Key, State]] = []

    @property
    def head(self) -> int:
        return len(self.changes)

    def put(self, kind: str, key: str, state: State) -> None:
        with self.lock:
            self.changes.append(((kind, key), state))
            self.at.append(instant())

    def entities(self) -> dict[Key, tuple[int, State]]:
        """The newest state of each, with the revision that changed it; deleted ones, too."""
        return {key: (number, state) for number, (key, state) in enumerate(self.changes, 1)}

    def line(self, revision: int) -> dict[str, Any]:
        (kind, key), state = self.changes[revision - 1]
        return {
            **{"v": 1, "type": "change", "epoch": self.epoch, "revision": revision},
            **{"marked_at": self.at[revision], "previous_at": self.at[revision - 1], "at": self.at[revision]},
            "entities": [{"kind": kind, "key": key, "state": state}],
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: ClassVar[Log]
    token: ClassVar[str]
    fault: ClassVar[str] = ""

    def do_GET(self) -> None:
        self._answer(
            {
                "head": self._head,
                "changes": self._changes,
                "snapshot": self._snapshot,
                "digest": self._digest,
                "permissions": self._permissions,
                "subjects": self._subject,
            }
        )

    def do_POST(self) -> None:
        self._answer({"check": self._check})

    def do_PUT(self) -> None:
        """For trials: `/users/17` with the new state."""
        _, kinds, key = self.path.split("/", 2)
        self.log.put(kinds.removesuffix("s"), unquote(key), json.loads(self._body()))
        self._send(200, {"revision": self.log.head})

    def log_message(self, *_: object) -> None:
        """It tells nothing."""

    def _answer(self, calls: Mapping[str, Callable[[str, dict[str, str]], None]]) -> None:
        url = urlsplit(self.path)
        body = self._body()
        call, _, rest = url.path.removeprefix("/authz/v1/").partition("/")
        if call not in calls:
            self._send(404, {"code": "not_found"})
        elif self.headers.get("Authorization") != f"Bearer {self.token}" and not self._open(call):
            self._send(401, {"code": "not_authenticated"})
        else:
            with self.log.lock:
                calls[call](unquote(rest) if rest else body, dict(parse_qsl(url.query)))

    def _open(self, call: str) -> bool:
        return self.fault == "answers-anybody" or (self.fault == "feeds-anybody" and call == "changes")

    def _body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()

    def _send(self, status: int, value: object, **headers: str) -> None:
        lines = value if isinstance(value, list) else [value]
        body = "".join(f"{canonical(line)}\n" for line in lines).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-ndjson" if value is lines else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(body)

    def _place(self) -> dict[str, Any]:
        return {"epoch": self.log.epoch, "revision": self.log.head, "at": self.log.at[-1]}

    def _head(self, _rest: str, _query: dict[str, str]) -> None:
        self._send(200, {**self._place(), "oldest": OLDEST, "now": instant(), "subject_fields": FIELDS})

    def _changes(self, _rest: str, query: dict[str, str]) -> None:
        after, at, head = int(query["after"]), query.get("at"), self.log.head
        known = (
            query["epoch"] == self.log.epoch and after <= head and at in (None, self.log.at[min(after, head)])
        )
        if not known and self.fault != "knows-every-history":
            return self._send(410, {"code": "history_gone", **self._place(), "oldest": OLDEST})
        wanted = range(after + 1, min(head, after + int(query.get("limit", 1000))) + 1)
        lines = [self.log.line(number) for number in wanted if (number, self.fault) != (2, "gap")]
        fields = json.dumps(["name"] if self.fault == "other-fields" else FIELDS)
        return self._send(200, lines, Authz_Head=str(head), Authz_Now=instant(), Authz_Subject_Fields=fields)

    def _existing(self) -> Iterator[dict[str, Any]]:
        for (kind, key), (revision, state) in self.log.entities().items():
            if state is not None:
                yield {"kind": kind, "key": key, "revision": revision, "state": state}

    def _snapshot(self, _rest: str, query: dict[str, str]) -> None:
        buckets, bucket = int(query.get("buckets", 1)), int(query.get("bucket", 0))
        found = [each for each in self._existing() if slot(each["kind"], each["key"]) % buckets == bucket]
        if self.fault == "stale-snapshot":
            found = [{**each, "state": {**each["state"], "permissions": []}} for each in found]
        first = {"type": "snapshot", "v": 1, **self._place(), "entities": len(found), "now": instant()}
        first["subject_fields"] = FIELDS
        last = [] if self.fault == "truncated-snapshot" else [{"type": "end", "entities": len(found)}]
        self._send(200, [first, *found, *last])

    def _digest(self, _rest: str, query: dict[str, str]) -> None:
        buckets = [[0, 0] for _ in range(int(query["buckets"]))]
        for (kind, key), (revision, state) in self.log.entities().items():
            bucket = buckets[slot(kind, key) % len(buckets)]
            bucket[1] = max(bucket[1], revision)
            if state is not None:
                line = f"{kind}\t{key}\t{revision}\t{canonical(state)}".encode()
                bucket[0] ^= int.from_bytes(hashlib.sha256(line).digest())
        if self.fault == "wrong-digest":
            buckets[0][0] ^= 1
        told = [{"digest": f"{digest:064x}", "revision": revision} for digest, revision in buckets]
        self._send(200, {**self._place(), "buckets": told})

    def _held(self, sub: str) -> tuple[State, set[str], list[dict[str, Any]]]:
        """The user's state, what it may do, and its lines: its own and its groups'."""
        lines = {(each["kind"], each["key"]): each for each in self._existing()}
        if ("user", sub) not in lines:
            return None, set(), []
        user = lines["user", sub]
        groups = [lines["group", key] for key in user["state"]["groups"] if ("group", key) in lines]
        labels = {label for each in (user, *groups) for label in each["state"]["permissions"]}
        return user["state"], labels, [user, *groups]

    def _subject(self, sub: str, _query: dict[str, str]) -> None:
        state, labels, lines = self._held(sub)
        if state is None:
            place = {} if self.fault == "empty-404" else self._place()
            return self._send(404, {"code": "unknown_subject", "sub": sub, **place})
        told = {name: state[name] for name in ("active", "superuser", "token_generation")}
        return self._send(
            200, {**self._place(), "sub": sub, **told, "permissions": sorted(labels), "entities": lines}
        )

    def _check(self, body: str, _query: dict[str, str]) -> None:
        question = json.loads(body)
        state, labels, _ = self._held(question["sub"])
        reason = "granted" if self.fault == "allows-everything" else decide(state, labels, question)
        self._send(200, {"allowed": reason in ("granted", "superuser"), "reason": reason, **self._place()})

    def _permissions(self, _rest: str, _query: dict[str, str]) -> None:
        labels = {label for each in self._existing() for label in each["state"]["permissions"]}
        self._send(200, {"permissions": sorted(labels)})


def decide(state: State, labels: set[str], question: Mapping[str, Any]) -> str:
    if state is None:
        return "unknown_subject"
    if not state["active"]:
        return "inactive"
    if question.get("token_generation") not in (None, state["token_generation"]):
        return "token_revoked"
    if state["superuser"]:
        return "superuser"
    return "granted" if question["permission"] is None or question["permission"] in labels else "denied"


def slot(kind: str, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{kind}:{key}".encode()).digest()[:4])


def server(port: int, token: str, fault: str = "") -> ThreadingHTTPServer:
    """Not yet serving; a log of its own, which is the handler's `log`."""
    handler = type("TinyHandler", (Handler,), {"log": Log(), "token": token, "fault": fault})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--wrong", choices=FAULTS, default="", metavar="FAULT", help=", ".join(FAULTS))
    arguments = parser.parse_args()
    server(arguments.port, os.environ["AUTHZ_SERVICE_TOKEN"], arguments.wrong).serve_forever()


if __name__ == "__main__":
    main()

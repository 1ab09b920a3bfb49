"""A path that is matched one way and served another: refused, or decided as the service will read it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab import DEADLINE
from lab.stack.process import wait_for
from lab.wire.front import Front, statuses

HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def ask(line: bytes, user: bytes = b"", host: bytes = HOST) -> bytes:
    """A whole request; one that changes something carries an empty object."""
    token = b"Authorization: Bearer <%b>\r\n" % user if user else b""
    safe = line.startswith((b"GET", b"HEAD", b"OPTIONS"))
    return line + b" HTTP/1.1\r\n" + host + token + (b"\r\n" if safe else JSON)


# Nobody may send these, not even who may do everything.
AMBIGUOUS = {
    # CVE-2026-26205: the first segment taken for a host
    "two slashes first": b"DELETE //students/1/",
    "three slashes": b"DELETE ///",
    "a host after two slashes": b"DELETE //x/students/1/",
    "an address with a user after two slashes": b"DELETE //127.0.0.1@x/students/1/",
    "two slashes first, to read what a rule protects": b"GET //students/3/",
    # CVE-2021-29492, GHSA-6jwx-7vp4-9847, CVE-2025-66490: escapes of what has a meaning in a path
    "two slashes inside": b"DELETE /students//1/",
    "two slashes at the end": b"DELETE /students/1//",
    "an escaped slash": b"DELETE /students%2F1/",
    "an escaped slash in lower case": b"DELETE /students%2f1/",
    "an escaped slash after a slash": b"DELETE /students/%2F1/",
    "an escaped backslash": b"DELETE /students%5C1/",
    "an escaped backslash in lower case": b"DELETE /open%5c..%5cstudents/1/",
    "an escaped NUL": b"DELETE /students/1%00/",
    "an escaped NUL before what a rule expects": b"DELETE /open/x%00/../students/1/",
    "an escaped semicolon": b"DELETE /students/1%3Bx/",
    "an escaped percent sign": b"DELETE /students/%2531/",
    "an escaped question mark": b"DELETE /students/1/%3Fx",
    "an escaped number sign": b"DELETE /students/1/%23x",
    "an escaped line feed": b"DELETE /students/1%0A/",
    "an escaped delete character": b"DELETE /students/1%7F/",
    # CVE-2021-43557 and others: dot segments resolved after the match, or by one of two parsers
    "dots out of an open folder": b"DELETE /open/../students/1/",
    "dots deep inside": b"DELETE /open/a/b/../../../students/1/",
    "one dot": b"DELETE /./students/1/",
    "dots at the end": b"DELETE /students/1/..",
    "escaped dots": b"DELETE /open/%2e%2e/students/1/",
    "half escaped dots": b"DELETE /open/.%2E/students/1/",
    "dots and an escaped slash": b"DELETE /open/..%2fstudents/1/",
    "dots and a backslash": b"DELETE /open/..\\students\\1/",
    "a backslash first": b"DELETE /\\students/1/",
    "dots with parameters": b"DELETE /open/..;/students/1/",
    "dots escaped twice": b"DELETE /open/%252e%252e/students/1/",
    "dots in overlong UTF-8": b"DELETE /open/%c0%ae%c0%ae/students/1/",
    "a slash in overlong UTF-8": b"DELETE /open/..%c0%afstudents/1/",
    "a slash in longer UTF-8": b"DELETE /open/..%e0%80%afstudents/1/",
    "dots in the code of old IIS": b"DELETE /open/%u002e%u002e/students/1/",
    # escapes and bytes that are none
    "parameters": b"DELETE /students/1;x=y/",
    "half an escape": b"DELETE /students/1/%3",
    "an escape of nothing": b"DELETE /students/%zz/",
    "a surrogate": b"DELETE /students/%ed%a0%80/",
    "Latin-1": b"DELETE /students/caf%E9/",
    "raw bytes outside ASCII": b"DELETE /students/caf\xc3\xa9/",
    "a control character": b"DELETE /students/\x01/",
    # GHSA-pxq7-h93f-9jrg: a fragment is never sent
    "a fragment": b"DELETE /open/#/../students/1/",
    "a fragment after what a rule protects": b"GET /students/3/#/open/",
    # CVE-2021-39155, CVE-2021-39156: a target that names another host than Host does
    "absolute form with another host": b"DELETE http://x/students/1/",
    "absolute form with a port": b"DELETE http://127.0.0.1:80/students/1/",
    "absolute form with a user": b"DELETE http://x@127.0.0.1/students/1/",
    "absolute form with another scheme": b"DELETE https://127.0.0.1/students/1/",
    "absolute form without a host": b"DELETE http:///students/1/",
    "absolute form of what is ambiguous": b"DELETE http://127.0.0.1//students/1/",
    "absolute form of a safe method": b"GET http://x/students/1/",
    "another scheme": b"DELETE file:///students/1/",
    "authority form": b"DELETE 127.0.0.1:80",
    "everything": b"DELETE *",
    "everything, to read": b"GET *",
    "no slash": b"DELETE students/1/",
    "a query without a path": b"DELETE ?/students/1/",
}


@pytest.mark.parametrize("line", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
@pytest.mark.parametrize("user", [b"", b"admin"], ids=["anyone", "admin"])
async def test_an_ambiguous_path_is_refused(front: Front, line: bytes, user: bytes) -> None:
    assert statuses(await front.ask(ask(line, user))) == [400]
    await front.nothing_arrived()


# What a rule says holds for every way to write its path. GHSA-7rh7-c77v-6434: a query is no path.
DECIDED = {
    "a stricter rule past its escaped name": (b"PATCH /students/%73pecial/", b"bob", 403),
    "absolute form, without a token": (b"DELETE http://127.0.0.1/students/1/", b"", 401),
    "absolute form, without the permission": (b"DELETE HTTP://127.0.0.1/students/1/", b"bob", 403),
    "absolute form of an escaped name": (b"PATCH http://127.0.0.1/students/%73pecial/", b"bob", 403),
    "a stricter rule past two escaped names": (b"PATCH /%73tudents/specia%6C/", b"bob", 403),
    "a stricter rule past an escaped number": (b"PATCH /students/%32/", b"bob", 403),
    "an escaped letter, without a token": (b"DELETE /%73tudents/1/", b"", 401),
    "an escaped letter, without the permission": (b"DELETE /%73tudents/1/", b"bob", 403),
    "an escaped number": (b"DELETE /students/%31/", b"bob", 403),
    "an escaped letter in a path to read": (b"GET /%73tudents/3/", b"", 401),
    "an escaped number in a path to read": (b"GET /students/%33/", b"bob", 403),
    "HEAD of a path to read": (b"HEAD /students/%33/", b"bob", 403),
    "an open path in the query": (b"DELETE /students/1/?path=/open/x", b"", 401),
    "dots in the query": (b"DELETE /students/1/?/../../open/x", b"bob", 403),
    "an open path in the query of what is read": (b"GET /students/3/?/open/", b"", 401),
    "a question mark alone": (b"DELETE /students/1/?", b"bob", 403),
    "two question marks": (b"DELETE /students/1/??/open/", b"bob", 403),
    # CVE-2020-5902 and its kind, and Django's own APPEND_SLASH: another path is another path
    "no slash at the end": (b"DELETE /students/1", b"admin", 403),
    "no slash at the end of a collection": (b"POST /students", b"admin", 403),
    "upper case": (b"DELETE /STUDENTS/1/", b"admin", 403),
    "a space at the end": (b"DELETE /students/1/%20", b"admin", 403),
    "a suffix": (b"DELETE /students/1/.json", b"admin", 403),
    "an open name as the beginning of another": (b"DELETE /openstudents/1/", b"admin", 403),
    "an open folder without its slash": (b"POST /open", b"admin", 403),
    "the root": (b"POST /", b"admin", 403),
}


@pytest.mark.parametrize(("line", "user", "status"), DECIDED.values(), ids=DECIDED.keys())
async def test_a_rule_holds_however_its_path_is_written(
    front: Front, line: bytes, user: bytes, status: int
) -> None:
    assert statuses(await front.ask(ask(line, user))) == [status]
    await front.nothing_arrived()


NOT_OWN = {
    "a number before it": b"PUT /own/0%b/",
    "a space after it": b"PUT /own/%b%%20/",
    "other digits": b"PUT /own/%%EF%%BC%%91%b/",
    "somebody else": b"PUT /own/%b1/",
    "two of them": b"PUT /own/%b,%b/",
}


@pytest.mark.parametrize("line", NOT_OWN.values(), ids=NOT_OWN.keys())
async def test_nothing_but_one_s_own_is_one_s_own(front: Front, issuer: Any, line: bytes) -> None:
    for name in ("bob", "admin"):
        own = issuer.claims(name)["sub"].encode()
        asked = line % ((own,) * line.replace(b"%%", b"").count(b"%b"))
        assert statuses(await front.ask(ask(asked, name.encode()))) == [403]
    await front.nothing_arrived()


@pytest.mark.parametrize("escaped", [False, True])
async def test_one_s_own_is_one_s_own_however_it_is_escaped(front: Front, issuer: Any, escaped: bool) -> None:
    own = issuer.claims("bob")["sub"].encode()
    line = b"PUT /own/%b/" % (b"%%%02X%b" % (own[0], own[1:]) if escaped else own)
    await front.ask(ask(line, b"bob"))
    (arrived,) = await front.arrived()
    assert f"{arrived.method} {arrived.target}".encode() == line


async def test_a_token_without_the_scope_reaches_nothing(front: Front) -> None:
    assert statuses(await front.ask(ask(b"POST /scoped/", b"admin"))) == [403]
    await front.nothing_arrived()


# CVE-2021-39155: the case of the host, a dot after it. No rule depends on it, so nothing can be got round.
HOSTS = [
    b"Host: LOCALHOST\r\n",
    b"Host: localhost.\r\n",
    b"Host: open\r\n",
    b"Host: 127.0.0.1/open/\r\n",
    b"Host: 127.0.0.1@x\r\n",
    b"Host: [::1]\r\n",
    b"Host: \xc2\xa0\r\n",
    b"Host:\r\n",
    b"hOsT: x\r\n",
]


@pytest.mark.parametrize("host", HOSTS)
async def test_no_host_makes_a_difference(front: Front, host: bytes) -> None:
    assert statuses(await front.ask(ask(b"DELETE /students/1/", b"bob", host))) == [403]
    await front.nothing_arrived()


# GHSA-pvrc-wvj2-f59p: the path that is decided is the one that is served, and is sent as it came.
SENT_ON = {
    "an escaped number": (b"PATCH /students/%31/", b"bob", "PATCH /students/{id}/"),
    "an escaped name": (b"PATCH /students/%73pecial/", b"admin", "PATCH /students/special/"),
    "a word where a number is meant": (b"PATCH /students/word/", b"bob", "PATCH /students/{id}/"),
    "a number in other digits": (b"PATCH /students/%EF%BC%91/", b"bob", "PATCH /students/{id}/"),
    "a space after a number": (b"PATCH /students/1%20/", b"bob", "PATCH /students/{id}/"),
    "a query that looks like a path": (b"POST /open/x?/../students/", b"", "POST /open/{rest:path}"),
    "a question mark alone": (b"POST /open/x?", b"", "POST /open/{rest:path}"),
    "dots that are no segment": (b"POST /open/...", b"", "POST /open/{rest:path}"),
    "an escape in lower case": (b"POST /open/caf%c3%a9", b"", "POST /open/{rest:path}"),
    "reserved characters": (b"POST /open/a:b@c!$&'()*+,=", b"", "POST /open/{rest:path}"),
    "escaped reserved characters": (b"POST /open/%3A%40%26", b"", "POST /open/{rest:path}"),
}


@pytest.mark.parametrize(("line", "user", "rule"), SENT_ON.values(), ids=SENT_ON.keys())
async def test_what_is_decided_is_what_is_served(front: Front, line: bytes, user: bytes, rule: str) -> None:
    identity = f"path-{list(SENT_ON.values()).index((line, user, rule))}"
    request = ask(line, user).replace(b"\r\n", b"\r\nX-Request-Id: %b\r\n" % identity.encode(), 1)
    assert len(statuses(await front.ask(request))) == 1
    (arrived,) = await front.arrived()
    assert f"{arrived.method} {arrived.target}".encode() == line
    assert wait_for(lambda: decided(front, identity), DEADLINE, "the decision log") == [rule]


def decided(front: Front, identity: str) -> list[str]:
    """The rules that requests of this id fell under."""
    lines = front.sidecar.log_path.read_text().splitlines()
    records = [json.loads(line) for line in lines if f'"request_id": "{identity}"' in line]
    return [record["rule"] for record in records if record["type"] == "decision"]


async def test_a_redirect_to_what_a_rule_protects_shows_nothing_of_it(front: Front) -> None:
    answer = await front.ask(ask(b"GET /students/3"))
    assert statuses(answer) == [301]
    assert b"Location: /students/3/\r\n" in answer
    assert b"roll_number" not in answer
    assert statuses(await front.ask(ask(b"GET /students/3/"))) == [401]
    assert [request.target for request in await front.arrived()] == ["/students/3"]


UNGOVERNED = [
    b"OPTIONS //students/1/",
    b"OPTIONS /a/../b;c",
    b"OPTIONS /%2e%2e/%5C",
    b"OPTIONS /a?b?c/../",
    b"OPTIONS *",
]


@pytest.mark.parametrize("line", UNGOVERNED)
async def test_what_no_rule_governs_goes_on_as_it_is(front: Front, line: bytes) -> None:
    assert len(statuses(await front.ask(ask(line)))) == 1
    assert [f"{each.method} {each.target}".encode() for each in await front.arrived()] == [line]
    assert not front.changed

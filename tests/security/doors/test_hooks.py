"""A gateway's hook that was pointed at the proxied port, or whoever plays one: no change hides in a read."""

from __future__ import annotations

import pytest

from lab.wire.front import Front, statuses

SPELLINGS = (
    b"X-Forwarded-Method",
    b"x-forwarded-method",
    b"X_Forwarded_Method",
    b"X.Forwarded.Method",
    b"X-Original-Method",
    b"X_ORIGINAL_METHOD",
    b"X-Original_Method",
    b"x.original.method",
)
SAID = (b"DELETE", b"delete", b"Delete", b" DELETE ", b"", b"PURGE", b"G\xc3\x89T")
OTHERS = (
    b"X-Forwarded-Method: %b\r\nX-Forwarded-Method: DELETE",
    b"X-Forwarded-Method: DELETE\r\nX-Forwarded-Method: %b",
    b"X-Forwarded-Method: %b, DELETE",
    b"X-Forwarded-Method: %b\r\nX_Forwarded_Method: DELETE",
    b"X-Forwarded-Method: %b\r\nX-Original-Method: DELETE",
    b"Connection: close, X-Forwarded-Method\r\nX-Forwarded-Method: DELETE",
)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
async def test_a_read_that_speaks_of_another_method(front: Front, method: bytes) -> None:
    fields = [b"%b: %b" % (name, said) for name in SPELLINGS for said in SAID]
    fields += [each % method if b"%b" in each else each for each in OTHERS]
    for each in fields:
        request = method + b" /students/1/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer <admin>\r\n"
        assert statuses(await front.ask(request + each + b"\r\n\r\n")) == [400], each
    await front.nothing_arrived()


async def test_its_own_method_and_a_target_mean_nothing(front: Front) -> None:
    said = b"X-Forwarded-Method: GET\r\nX-Original-URI: /students/2/\r\nX-Forwarded-Uri: /students/2/\r\n"
    get = b"GET /students/1/ HTTP/1.1\r\nHost: localhost\r\n" + said + b"\r\n"
    assert statuses(await front.ask(get)) == [200]
    (arrived,) = await front.arrived()
    assert arrived.target == "/students/1/"
    assert not any("METHOD" in name or name == "X-FORWARDED-URI" for name, _ in arrived.fields)


async def test_a_change_is_judged_as_what_it_is(front: Front) -> None:
    """Whatever it says that it stands for; only who may do what it does passes."""
    change = b"DELETE /students/1/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer <bob>\r\n"
    await front.refuses(
        {
            "a read": (change + b"X-Forwarded-Method: GET\r\n", "permission_denied"),
            "an open one": (
                change + b"X-Original-URI: /open/x\r\nX-Rewrite-URL: /open/x\r\n",
                "permission_denied",
            ),
        }
    )

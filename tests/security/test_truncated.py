"""A request of which only a part was sent: the service must not take the part for the whole.

gunicorn and Django do, where a connection ends in order before Content-Length bytes have come: a whole JSON
document and nothing after it is then a whole body. So the sidecar must end it with a reset.
"""

from __future__ import annotations

from lab.stack.client import People
from lab.wire import Client
from lab.wire.front import Front, statuses
from lab.wire.peers import wait_for

BODY = b'{"status": "graduated"}'
PART = (
    b"PATCH /students/7/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer <%b>\r\n%b"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + BODY
)


async def begun(front: Front, user: bytes, fields: bytes = b"") -> Client:
    """A client whose upload has come as far as the service."""
    client = await front.client()
    await client.send(front.filled(PART % (user, fields)))
    await wait_for(lambda: BODY in front.tap.received)
    return client


async def test_of_a_client_that_leaves(front: Front) -> None:
    client = await begun(front, b"admin")
    client.reset()
    await front.settled()
    assert not front.changed


async def test_of_a_client_that_stops_sending(front: Front) -> None:
    async with await begun(front, b"admin") as client:
        client.eof()
        assert await client.closed() == b""
    await front.settled()
    assert not front.changed


async def test_of_a_user_whose_permission_is_taken_away(front: Front, people: People) -> None:
    carol, change = people.id_of("carol"), "students.change_student"
    revision = people.grant(carol, change).headers["authz-revision"].encode()
    async with await begun(front, b"carol", b"Authz-Min-Revision: %b\r\n" % revision) as client:
        people.revoke(carol, change)
        assert statuses(await client.closed()) == [403]
    await front.settled()
    assert not front.changed

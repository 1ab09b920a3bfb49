"""Whatever goes wrong with Redis is one error of ours."""

import pytest
from redis.exceptions import ReadOnlyError

from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica.redis_store import _Mapped, _name


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ReadOnlyError("a replica"), "it answers a replica"),
        (ConnectionResetError(), "the connection was ended from there"),
        (TimeoutError(), "no answer in time"),
        (
            RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
            "the connection had ended",
        ),
    ],
    ids=repr,
)
async def test_foreign_exceptions_become_store_unavailable(error: Exception, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=f"Redis at here: {words}"):
        async with _Mapped("Redis at here"):
            raise error


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://user:secret@127.0.0.1:1/0", "Redis at 127.0.0.1:1"),
        ("redis+sentinel://:secret@one:1,two:2/main", "Redis at one:1,two:2"),
        ("rediss+cluster://one", "Redis at one"),
        ("unix://:secret@/run/redis.sock", "Redis at /run/redis.sock"),
    ],
)
def test_an_error_tells_where_and_no_password(url: str, name: str) -> None:
    assert _name(url) == name

"""Whatever goes wrong with Redis is one error of ours."""

import pytest
from redis.exceptions import ReadOnlyError

from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica.redis_store import _mapped


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
    with pytest.raises(StoreUnavailable, match=words):
        async with _mapped():
            raise error

"""Whatever goes wrong with Redis is one error of ours."""

import pytest
from redis.exceptions import ReadOnlyError

from authz_sidecar.core.errors import StoreUnavailable
from authz_sidecar.replica.redis_store import _mapped


@pytest.mark.parametrize(
    "error",
    [
        ReadOnlyError("a replica"),
        ConnectionResetError(),
        TimeoutError(),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
    ],
    ids=repr,
)
async def test_foreign_exceptions_become_store_unavailable(error: Exception) -> None:
    with pytest.raises(StoreUnavailable, match=type(error).__name__):
        async with _mapped():
            raise error

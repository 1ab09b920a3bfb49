"""The replica in Redis. The only module that knows `redis`."""

from __future__ import annotations


class RedisStore:
    """`url`: redis://, rediss://, redis+sentinel://, redis+cluster://."""

    def __init__(self, url: str, prefix: str) -> None:
        raise NotImplementedError

    async def close(self) -> None: ...

"""The replica in this process's memory: the embedded default."""


class MemoryStore:
    async def close(self) -> None: ...

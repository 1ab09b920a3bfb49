"""What asyncio's servers need before they are closed."""

import asyncio

TURNS = 3
"""Of the event loop: a connection is accepted, connected, and its handler begun."""


async def let_begin() -> None:
    """Let what was just accepted begin: a server that is closed before loses it, open."""
    for _ in range(TURNS):
        await asyncio.sleep(0)

"""The memory that all clients of one port may fill, together: one account in bytes.

What a connection holds is bounded by itself: a head, the requests that came ahead of their turn, the
beginning of a body, what one side has sent and the other does not take yet. Thousands of them together are
not. So each connection says how much it holds whenever that may have changed. As long as it is `FREE_BYTES`
or less, which is what usual requests take, it is not counted. What is more comes out of the account, and
whoever finds it empty is refused. Those who hold something already keep it: that ends by their own timeouts,
and usual requests are served meanwhile.
"""

from __future__ import annotations

from typing import Final

FREE_BYTES: Final = 6 * 1024


class Budget:
    """How much of the account is taken."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.taken_bytes = 0

    def changes(self, before: int, now: int) -> bool:
        """Whether one that had `before` may have `now`, which is counted if so. Less is always possible."""
        taken = self.taken_bytes - before + now
        if now > before and taken > self.total_bytes:
            return False
        self.taken_bytes = taken
        return True

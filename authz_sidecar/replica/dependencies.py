"""Which dependencies answer, as last seen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from authz_sidecar.core.ports import Dependency, ReplicaObserver, Seen

logger = logging.getLogger(__name__)


class Dependencies:
    """Tells the observer of every change, once."""

    def __init__(self, observer: ReplicaObserver, now: Callable[[], float]) -> None:
        """`now`: on a monotonic clock."""
        self._observer = observer
        self._now = now
        self._up: dict[Dependency, bool] = {}
        self.up: Mapping[Dependency, bool] = MappingProxyType(self._up)
        self._reasons: dict[Dependency, str] = {}
        self._since: dict[Dependency, float] = {}

    def seen(self) -> Mapping[Dependency, Seen]:
        """Each as it is now."""
        now = self._now()
        return {name: Seen(up, now - self._since[name], self._reasons[name]) for name, up in self._up.items()}

    def troubles(self) -> str:
        """What is down, and why."""
        down = [f"{name}: down ({self._reasons[name]})" for name, up in self._up.items() if not up]
        return "; ".join(down) or "nothing is known to be down"

    def report(self, name: Dependency, up: bool, reason: str = "") -> None:
        """`reason`: why it is not up."""
        self._reasons[name] = reason
        if self._up.get(name) is up:
            return
        self._up[name], self._since[name] = up, self._now()
        self._observer.dependency(name, up)
        if up:
            logger.info("%s: up", name)
        else:
            logger.warning("%s: down (%s)", name, reason)

"""Pages of the documentation that are run: what a reader would copy, with the places at hand put in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab import ROOT

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Page:
    """A page's blocks, each of which is to be taken once. `places`: what its addresses are called here."""

    def __init__(self, name: str, places: Mapping[str, str]) -> None:
        """`name`: from `docs/`, without suffix."""
        text = (ROOT / "docs" / f"{name}.md").read_text()
        self.left = [(language, block) for language, block in BLOCK.findall(text)]
        self._places = places

    def take(self, language: str, containing: str = "") -> str:
        """The first block that is left, of this language and with this in it."""
        for found in self.left:
            if found[0] == language and containing in found[1]:
                self.left.remove(found)
                return self._here(found[1])
        raise LookupError(f"no block of {language} with {containing!r} is left: {self.left}")

    def _here(self, block: str) -> str:
        for place, actual in self._places.items():
            block = block.replace(place, actual)
        return block

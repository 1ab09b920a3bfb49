"""No log holds a token."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)*")
"""Every JSON Web Token begins so: it is `{"` in Base64."""
LEFT_OUT: Final = "(token)"
"""What stands in the place of one."""


def without_tokens(text: str) -> str:
    """The text with what looks like a JSON Web Token left out."""
    return _TOKEN.sub(LEFT_OUT, text) if "eyJ" in text else text

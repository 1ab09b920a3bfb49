"""Permission labels: `app_label.codename`, by which policies, the API and the log name a permission."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 100
"""Characters of either half, as Django's columns hold them."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BadLabel(ValueError):
    """What is wrong with a label, with the mend."""


class Label(NamedTuple):
    app_label: str
    codename: str

    def __str__(self) -> str:
        return f"{self.app_label}.{self.codename}"

    @property
    def default_name(self) -> str:
        """What people read where nobody has given a name: "Can add student"."""
        return f"Can {self.codename.replace('_', ' ')}"


def parse(text: object) -> Label:
    """Raises `BadLabel`."""
    if not isinstance(text, str):
        raise BadLabel(f"{text!r} is no label: write app_label.codename, like students.add_student")
    app_label, dot, codename = text.partition(".")
    if not dot:
        known = text if _NAME.fullmatch(text) else "add_student"
        raise BadLabel(f"{text!r} has no dot: write app_label.codename, like students.{known}")
    if not (_NAME.fullmatch(app_label) and _NAME.fullmatch(codename)):
        raise BadLabel(
            f"{text!r} is no label: two names of letters, digits and _ with one dot between them,"
            " like students.add_student"
        )
    if len(app_label) > LONGEST or len(codename) > LONGEST:
        raise BadLabel(f"{text!r} is too long: at most {LONGEST} characters before and after the dot")
    return Label(app_label, codename)

"""The generated parts of the document are replaced, and nothing else of it."""

from __future__ import annotations

import pytest

from lab.bench import publish
from lab.bench.cli import BY_THEMSELVES
from lab.bench.plan import PARTS

DOCUMENT = """# Title

<!-- memory: written by scripts/bench -->
old
<!-- end of memory -->

Prose.
"""


def test_only_the_named_part_is_replaced() -> None:
    renewed = publish.replaced(DOCUMENT, "memory", "new\n")
    assert renewed == DOCUMENT.replace("old\n", "\nnew\n\n")


def test_replacing_again_changes_nothing() -> None:
    once = publish.replaced(DOCUMENT, "memory", "new\n")
    assert publish.replaced(once, "memory", "new\n") == once


def test_a_part_that_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no part 'proxies'"):
        publish.replaced(DOCUMENT, "proxies", "new\n")


def test_the_document_has_every_part() -> None:
    document = publish.DOCUMENT.read_text()
    for part in (*PARTS, *BY_THEMSELVES.values()):
        publish.replaced(document, part, "new\n")

"""The pages that are made from the code say what the code says."""

from __future__ import annotations

import pytest

from lab import ROOT
from lab.pages import PAGES


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_what_it_is_made_from(path: str) -> None:
    assert (ROOT / path).read_text() == PAGES[path](), "run: python -m lab.pages"

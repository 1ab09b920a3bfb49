"""What docs/simulation.md says of the mutants is what is known of them."""

from __future__ import annotations

import re

from lab import ROOT
from lab.simulation.mutants import MUTANTS, table

PAGE = (ROOT / "docs/simulation.md").read_text()


def test_the_table_is_that_of_the_code() -> None:
    assert table() in PAGE


def test_every_mutant_that_is_named_exists() -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE))
    assert named <= {mutant.name for mutant in MUTANTS}

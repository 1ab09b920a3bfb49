"""Each mutant can be made: what it changes is in the code, once, and the tests that should notice exist."""

import pytest

from lab import ROOT
from lab.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_can_be_made(mutant: Mutant) -> None:
    assert (ROOT / mutant.path).read_text().count(mutant.before) == 1
    assert all((ROOT / test).is_file() for test in mutant.tests)

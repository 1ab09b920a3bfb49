"""The catalogue, its order and its documentation."""

from itertools import islice
from random import Random

from lab import ROOT
from lab.campaign.catalogue import CATALOGUE, markdown, plan

DOCUMENTATION = ROOT / "docs" / "faults.md"


def test_every_fault_comes_before_one_comes_again() -> None:
    rounds = plan(Random(1))  # noqa: S311 (no secret)
    for _ in range(3):
        assert sorted(fault.name for fault in islice(rounds, len(CATALOGUE))) == sorted(
            fault.name for fault in CATALOGUE
        )


def test_a_seed_gives_the_same_order_again() -> None:
    first, second = (list(islice(plan(Random("7 faults")), 60)) for _ in range(2))  # noqa: S311 (no secret)
    assert first == second


def test_the_catalogue_is_documented() -> None:
    assert markdown() in DOCUMENTATION.read_text(encoding="utf-8")

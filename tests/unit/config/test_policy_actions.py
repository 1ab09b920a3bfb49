"""What questions without a request are about: actions on types of resources, in the policy file."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_sidecar.config import policy_file
from authz_sidecar.core.errors import ConfigurationError
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.verdicts import Requirement

HEAD = "version: 1\nrules: []\n"
GOOD = """authzen:
  record:
    read: records.view_record
    write: {all: [records.view_record, records.change_record]}
  car:
    drive: {any: [cars.drive_car, cars.own_car]}
"""


def load(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(HEAD + text)
    return policy_file.load(path)


def test_each_action_has_its_requirement(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).actions == {
        ("record", "read"): Requirement("any", ("records.view_record",)),
        ("record", "write"): Requirement("all", ("records.view_record", "records.change_record")),
        ("car", "drive"): Requirement("any", ("cars.drive_car", "cars.own_car")),
    }


def test_they_are_a_part_of_what_the_policy_says(tmp_path: Path) -> None:
    """Else another mapping would not be put into force."""
    digests = {load(tmp_path, text).digest for text in ("", GOOD, GOOD.replace("all", "any"))}
    assert len(digests) == 3
    assert load(tmp_path, "authzen: {}\n").digest == load(tmp_path, "").digest


MISTAKES = {
    "no label": ("authzen: {record: {read: view}}", ":3: authzen.record.read"),
    "what is one's own": (
        "authzen: {record: {read: {all: [a.b, {own: id}]}}}",
        "`own` needs a path, and AuthZEN has none",
    ),
    "no action": ("authzen: {record: a.b}", ":3: authzen.record"),
    "nobody in particular": ("authzen: {record: {read: anyone}}", ":3: authzen.record.read"),
}


@pytest.mark.parametrize(("text", "wanted"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text + "\n")
    assert wanted in str(caught.value)

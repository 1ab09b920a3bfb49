"""A user model that cannot be watched is refused by `check` and `migrate`, with the mend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).with_name("user_models")
SERVICE = Path(__file__).parents[3] / "user_service"

SAID = {
    "Plain": [],
    "Renamed": [],
    "AlwaysActive": [],
    "SamePlain": [],
    "Property": ["E003"],
    "Mixed": ["E003"],
    "Overridden": ["E003"],
    "Instant": ["E003"],
    "Unknown": ["E003"],
    "Nobody": ["E003"],
    "Child": ["E002"],
    "WithoutMixin": ["E004", "E004"],
    "Computed": ["E004"],
    "ByName": ["E005"],
    "Keyed": [],
    "Named": [],
    "Teamed": [],
}


def python(*arguments: str, user_model: str, name: str = ":memory:", **more: str) -> tuple[int, str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (PROJECT, SERVICE))),
        "DJANGO_SETTINGS_MODULE": "project",
        "USER_MODEL": f"members.{user_model}",
        "NAME": name,
        **more,
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "mysql"])
def test_what_the_check_says_of_user_models(vendor: str) -> None:
    code, output = python(str(PROJECT / "watchable.py"), user_model="Plain", VENDOR=vendor)
    assert code == 0, output
    everywhere = ["E001"] if vendor == "mysql" else []
    assert json.loads(output) == {
        model: [f"authz_changelog.{name}" for name in [*everywhere, *said]] for model, said in SAID.items()
    }


def test_a_uuid_ends_however_the_database_spells_it() -> None:
    code, output = python(str(PROJECT / "uuids.py"), user_model="Keyed")
    assert code == 0, output
    assert json.loads(output.splitlines()[-1]) == [0, 1, 2]


def test_a_group_named_by_a_uuid_waits_and_is_reborn_however_the_database_spells_it() -> None:
    code, output = python(str(PROJECT / "teams.py"), user_model="Teamed")
    assert code == 0, output
    assert json.loads(output.splitlines()[-1]) == [2, True]


SUBJECTS = {
    "pk": [],
    "id": [],
    "username": [],
    "number": [],
    "tag": [],
    "alone": [],
    "nobody": ["is no column of the user"],
    "groups": ["is no column of the user's own table"],
    "email": ["is not unique"],
    "maybe": ["can be null"],
    "lower": ["has the collation 'NOCASE'"],
    "folded": ["is a Folded"],
    "joined": ["is a DateTimeField"],
    "long": ["can be longer than 255"],
    "endless": ["can be longer than 255"],
    "friend": ["is a OneToOneField"],
    "some": ["is not unique"],
}


def test_which_fields_can_be_the_subject() -> None:
    code, output = python(str(PROJECT / "naming.py"), *SUBJECTS, user_model="Named")
    assert code == 0, output
    found = json.loads(output)
    assert {name: len(each) for name, each in found.items()} == {
        name: len(each) for name, each in SUBJECTS.items()
    }
    for name, parts in SUBJECTS.items():
        for part, what in zip(parts, found[name], strict=True):
            assert what.startswith(f"AUTHZ_CHANGELOG['SUBJECT']: members.Named.{name} {part}")


@pytest.mark.parametrize(
    ("user_model", "said", "mend"),
    [
        ("Plain", "System check identified no issues", ""),
        ("Property", "E003) members.Property.is_active is no column", "Let is_active be a BooleanField"),
        ("Child", "E002) members.Child inherits columns from the table of members.Plain", "abstract model"),
        ("WithoutMixin", "E004) members.WithoutMixin does not hold", "PermissionsMixin"),
    ],
)
def test_a_project_with_it_is_told_instead_of_started(user_model: str, said: str, mend: str) -> None:
    code, output = python("-m", "django", "check", "--database", "default", user_model=user_model)
    assert said in output
    assert mend in output
    assert "Traceback" not in output
    assert code == (0 if user_model == "Plain" else 1)


def test_a_project_with_another_subject_is_told_what_is_wrong_with_it() -> None:
    code, output = python("-m", "django", "check", user_model="Plain", SUBJECT="email")
    assert "E009) AUTHZ_CHANGELOG['SUBJECT']: members.Plain.email is not unique" in output
    assert "HINT: Name a column of the user's own table that is unique" in output
    assert (code, "Traceback" in output) == (1, False)


def test_migrations_do_not_begin_with_it(tmp_path: Path) -> None:
    database = tmp_path / "members.sqlite3"
    code, output = python("-m", "django", "migrate", user_model="Child", name=str(database))
    assert code == 1
    assert "authz_changelog.E002" in output
    assert not database.exists() or not database.stat().st_size

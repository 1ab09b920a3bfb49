"""Documents: links lead somewhere, words are spelt right, commands and examples are taken as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from authz_sidecar import cli
from authz_sidecar.config import policy_file
from lab import ROOT
from lab.stack.binaries import find

NAMES = ("README.md", "SECURITY.md", "CHANGELOG.md", "*/README.md", "docs/**/*.md")
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text() for name in NAMES for path in ROOT.glob(name)}
WORDS = ROOT / "docs" / "words.txt"
"""What no dictionary has, one a line."""

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def headings(text: str) -> set[str]:
    """Their anchors, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for link in LINK.findall(FENCED.sub("", DOCUMENTS[name])):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in headings(target.read_text()), link


@pytest.fixture(scope="module")
def aspell() -> str:
    found = find("aspell")
    if found is None:
        pytest.skip("aspell is not installed: python -m lab.setup.bootstrap aspell")
    return found


def prose(text: str) -> str:
    """Without what is written as code, addresses, numbers, and names of files and programs."""
    for code in (FENCED, re.compile(r"`[^`]*`"), re.compile(r"(?<=\])\([^)]*\)"), re.compile(r"<[^>]+>")):
        text = code.sub(" ", text)
    return re.sub(r"\S*[_/.@:=]\S*[a-z]\S*|\S*\d\S*", " ", text)


def test_words_are_spelt_right(aspell: str) -> None:
    text = "\n".join(map(prose, DOCUMENTS.values()))
    argv = [aspell, "list", "--lang=en", "--encoding=utf-8"]
    found = subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout
    unknown = {word.removesuffix("'s") for word in found.split() if word.islower()}  # others are names
    assert sorted(unknown - known_words()) == [], f"wrong, or to be added to {WORDS}"


def known_words() -> set[str]:
    """Those of the list, and names of packages."""
    packages = re.findall(r"^[^=]+", (ROOT / "constraints.txt").read_text().lower(), re.MULTILINE)
    return {*WORDS.read_text().split(), *(word for name in packages for word in re.split(r"[-_]", name))}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of each block of a shell's, with its document; what is not one is somebody's output."""
    for name, text in DOCUMENTS.items():
        for language, block in FENCED.findall(text):
            if language not in ("", "sh", "console"):
                continue
            for line in re.sub(r"\\\n", " ", block).splitlines():
                words = _words(line.strip().removeprefix("$ "))
                if (words and words[0] in ("authz-sidecar", "python", "python3")) or _is_script(words):
                    yield name, words


def _words(line: str) -> list[str]:
    """Of a simple command, without its comment, its variables and what comes after it."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    ends = [place for place, word in enumerate(words) if re.match(r"[<>|;]|&&", word)]
    return words[: ends[0]] if ends else words


def _is_script(words: list[str]) -> bool:
    return bool(words) and words[0].startswith("scripts/")


COMMANDS = sorted({(name, shlex.join(words)) for name, words in commands()})


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_a_command_is_taken_as_it_stands(name: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(command)
    if program == "authz-sidecar":
        if "…" not in command:  # more is to be filled in there
            cli._parser().parse_args(arguments)
    elif program.startswith("scripts/"):
        assert (ROOT / program).exists()
    elif arguments[0] == "manage.py":
        found = list(ROOT.glob(f"user_service/*/management/commands/{arguments[1]}.py"))
        assert found or arguments[1] in ("migrate", "createsuperuser", "check", "runserver")
    elif arguments[0] == "-m":
        assert find_spec(arguments[1]) is not None


EXAMPLES = [
    (name, block)
    for name, text in DOCUMENTS.items()
    for language, block in FENCED.findall(text)
    if language == "yaml" and re.search(r"^(rules|tests):", block, re.MULTILINE)
]


@pytest.mark.parametrize(("name", "block"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_of_a_policy_is_one(name: str, block: str, tmp_path: Path) -> None:
    """What is left out of it, as it was said before, is filled in."""
    given = yaml.safe_load(block)
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "rules": [], **given}))
    policy_file.load(path)

"""No module holds what a slow run outlives."""

from __future__ import annotations

import ast

import pytest

from lab import ROOT
from lab.perishable import perishable

MODULES = [
    path
    for room in ("tests", "lab", "authz_sidecar", "user_service", "student_service")
    for path in (ROOT / room).rglob("*.py")
    if path.name not in ("__main__.py", "manage.py")
]

FOUND = {
    "a constant": "import time\nNOW = int(time.time())",
    "by another name": "from time import monotonic as clock\nNOW = clock()",
    "of another module": "import datetime as dt\nNOW = dt.datetime.now(dt.UTC)",
    "Django's": "from django.utils import timezone\nNOW = timezone.now()",
    "in a table": "import time\nCASES = {'soon': {'exp': [time.time() + 300]}}",
    "in a class": "import time\nclass Case:\n    now = time.monotonic()",
    "a default value": "import time\ndef case(*, now=time.time()): ...",
    "a lambda's default value": "import time\ncase = lambda now=time.time(): now",
    "a decorator's argument": "import time\n@parametrize('now', [time.time()])\ndef test(now): ...",
    "through functions": """
import time
def now():
    return time.time()
def soon():
    return now() + 9
EXP = soon()
""",
    "through a class": """
import time
class Case:
    def __init__(self):
        self.now = time.time()
CASE = Case()
""",
    "a port": "from lab.stack.process import free_port\nPORT = free_port()",
    "a shared fixture": "import time\n@pytest.fixture(scope='module')\ndef now():\n    return time.time()",
    "a shared fixture's method": """
import time
class Issuer:
    def sign(self):
        return time.time()
@pytest.fixture(scope='session')
def signed(issuer):
    return issuer.sign()
""",
    "a shared fixture's token": """
@pytest.fixture(scope='module')
def token(people):
    return people.token('bob')
""",
}
NOT_FOUND = {
    "in a function": "import time\ndef test():\n    return time.time()",
    "in a lambda": "import time\nCASES = [lambda: time.time() + 300]",
    "a clock that is only named": "import time\nclock = time.monotonic",
    "something else of that name": "NOW = service.now()",
    "a program": "import time\nif __name__ == '__main__':\n    print(time.time())",
    "a fixture of one test": "import time\n@pytest.fixture\ndef now():\n    return time.time()",
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND.keys())
def test_what_perishes_is_found(text: str) -> None:
    assert len(list(perishable(ast.parse(text)))) == 1


@pytest.mark.parametrize("text", NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_what_is_made_when_it_is_needed_is_not(text: str) -> None:
    assert list(perishable(ast.parse(text))) == []


def test_nothing_here_perishes() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {call}"
        for path in MODULES
        for line, call in perishable(ast.parse(path.read_text()))
    ]
    assert found == [], "make it in the test, or in a fixture without a scope"

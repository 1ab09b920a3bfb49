"""Attempts to sign in are counted by who would be authenticated, by address, and by what is under way."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import User
from authz_tokens import attempts, throttling
from authz_tokens.middleware import TooManyAttemptsMiddleware
from authz_tokens.models import AttemptCount

FORMS = ["/admin/login/", "/api/auth/login/"]
SIGN_INS = ["/api/token/", *FORMS]
SPELLINGS = ["admin ", "\tadmin", " admin", "\u2003admin", "admin\u00a0", "Admin"]
FULL_WIDTH = "".join(chr(ord(letter) + 0xFEE0) for letter in "admin")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> list[float]:
    """The limit's clock stands still, so that no window ends in the middle of a test."""
    settings.AUTH_LOGIN_RATE = "2/min"
    now = [1_800_000_000.0]
    monkeypatch.setattr(throttling, "now", lambda: now[0])
    return now


def sign_in(path: str, username: str, password: str, address: str = "192.0.2.1", **headers: str) -> Any:
    client = APIClient(REMOTE_ADDR=address, headers={"accept": "text/html"} if path in FORMS else {})
    body = {"username": username, "password": password}
    return client.post(path, body, format="multipart" if path in FORMS else "json", headers=headers)


def spend(clock: list[float], *pairs: tuple[str, str]) -> None:
    """Make attempts with a wrong password, whatever it takes."""
    for username, address in pairs:
        while (answer := sign_in("/api/token/", username, "wrong", address)).status_code == 429:
            clock[0] += int(answer["Retry-After"])


def signed_in(answer: Any) -> bool:
    return answer.status_code == 200 if "sessionid" not in answer.cookies else answer.status_code == 302


@pytest.mark.parametrize("path", SIGN_INS)
@pytest.mark.parametrize("spelling", [*SPELLINGS, FULL_WIDTH, f"{FULL_WIDTH.upper()} "])
def test_other_spellings_of_a_name_are_the_same_account(
    db: None, admin: User, password: str, path: str, spelling: str
) -> None:
    for guess in ("wrong", "wrong as well"):
        sign_in("/api/token/", "admin", guess)
    answer = sign_in(path, spelling, password)
    assert answer.status_code == 429
    assert "sessionid" not in answer.cookies


@pytest.mark.parametrize("path", SIGN_INS)
def test_the_answer_says_when_to_come_back(db: None, admin: User, password: str, path: str) -> None:
    for _ in range(2):
        sign_in(path, "admin", "wrong")
    answer = sign_in(path, "admin", password)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 60
    assert path == "/api/token/" or "Too many attempts" in answer.content.decode()


def test_spellings_do_not_multiply_guesses(db: None, alice: User) -> None:
    spellings = ["alice" + " " * number for number in range(20)] + [
        "\n" * number + "ALICE" for number in range(20)
    ]
    statuses = [sign_in("/api/token/", spelling, "wrong").status_code for spelling in spellings]
    assert statuses.count(401) == 2
    assert statuses.count(429) == len(spellings) - 2


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_address_stands_for_its_network(
    db: None, alice: User, password: str, one: str, another: str, same: bool
) -> None:
    for _ in range(2):
        sign_in("/api/token/", "alice", "wrong", one)
    assert sign_in("/api/token/", "alice", password, another).status_code == (429 if same else 200)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "told"),
    [
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (1, "198.51.100.7:4711", "198.51.100.7"),
        (1, "[2001:db8::7]:4711", "2001:db8::/64"),
        (2, "203.0.113.9, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
        (2, "198.51.100.7", "192.0.2.1"),
        (1, "nonsense", "192.0.2.1"),
        (1, "", "192.0.2.1"),
    ],
)
def test_forwarded_addresses_are_believed_as_far_as_proxies_are_trusted(
    rf: RequestFactory, settings: Settings, proxies: int, forwarded: str, told: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = rf.get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert throttling.address_of(request) == told


class TestSlowed:
    """An account and an address over all are slowed, never locked out."""

    @pytest.mark.parametrize("dimension", ["account", "address"])
    def test_an_attempt_is_told_to_come_back_and_then_let_in(
        self, db: None, alice: User, password: str, clock: list[float], dimension: str
    ) -> None:
        attackers = range(2 * throttling.OVERALL)
        spent = [
            ("alice", f"198.51.100.{n}") if dimension == "account" else (f"u{n}", "192.0.2.1")
            for n in attackers
        ]
        spend(clock, *spent)
        slowed = sign_in("/api/token/", "alice", password)
        assert slowed.status_code == 429
        assert int(slowed["Retry-After"]) == throttling.SLOWED_SECONDS
        clock[0] += int(slowed["Retry-After"])
        assert sign_in("/api/token/", "alice", password).status_code == 200

    def test_coming_back_too_early_does_not_help(
        self, db: None, alice: User, password: str, clock: list[float]
    ) -> None:
        spend(clock, *((f"u{n}", "192.0.2.1") for n in range(2 * throttling.OVERALL)))
        for _ in range(3):
            assert sign_in("/api/token/", "alice", password).status_code == 429
        clock[0] += throttling.SLOWED_SECONDS - 1
        assert int(sign_in("/api/token/", "alice", password)["Retry-After"]) == 1

    def test_each_attempt_waits_for_itself(self, db: None, alice: User, clock: list[float]) -> None:
        spend(clock, *((f"u{n}", "192.0.2.1") for n in range(2 * throttling.OVERALL)))
        statuses = []
        for _ in range(4):
            statuses.append(sign_in("/api/token/", "alice", "wrong").status_code)
            clock[0] += throttling.SLOWED_SECONDS
        assert statuses == [429, 401, 429, 401]

    def test_others_are_not_concerned(self, db: None, alice: User, password: str, clock: list[float]) -> None:
        spend(clock, *((f"u{n}", "192.0.2.1") for n in range(2 * throttling.OVERALL)))
        assert sign_in("/api/token/", "alice", password, "203.0.113.5").status_code == 200


class TestUnderWay:
    """Of a process's threads only some may be hashing passwords, and one address has not all of those."""

    @pytest.fixture
    def held(self, settings: Settings) -> Iterator[Callable[[str], None]]:
        """Puts an attempt from an address under way until the end of the test."""
        settings.AUTH_LOGIN_RATE = ""
        settings.AUTH_LOGIN_PLACES = 2
        ended, threads = threading.Event(), []

        def hold(address: str) -> None:
            began = threading.Event()

            def attempt() -> None:
                with throttling.places.held_by(address):
                    began.set()
                    ended.wait()

            threads.append(threading.Thread(target=attempt))
            threads[-1].start()
            began.wait()

        yield hold
        ended.set()
        for thread in threads:
            thread.join()

    @pytest.mark.parametrize("path", SIGN_INS)
    def test_when_all_places_are_taken_nothing_is_hashed(
        self, db: None, admin: User, password: str, held: Callable[[str], None], path: str, monkeypatch: Any
    ) -> None:
        held("198.51.100.1")
        held("198.51.100.2")
        monkeypatch.setattr(User, "check_password", lambda *_: pytest.fail("a password was hashed"))
        answer = sign_in(path, "admin", password)
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) >= 1

    def test_one_address_does_not_take_all_places(
        self, db: None, alice: User, password: str, held: Callable[[str], None]
    ) -> None:
        held("198.51.100.1")
        assert sign_in("/api/token/", "alice", password, "198.51.100.1").status_code == 429
        assert sign_in("/api/token/", "alice", password, "198.51.100.2").status_code == 200

    def test_a_place_is_given_back(self, db: None, alice: User, password: str, settings: Settings) -> None:
        settings.AUTH_LOGIN_RATE, settings.AUTH_LOGIN_PLACES = "", 1
        statuses = [
            sign_in("/api/token/", "alice", guess).status_code for guess in ("wrong", password, password)
        ]
        assert statuses == [401, 200, 200]


def test_whoever_authenticates_is_counted(db: None, alice: User, password: str, rf: RequestFactory) -> None:
    """Not the pages are limited but the backend, which also pages that come later go through."""
    for _ in range(2):
        assert authenticate(rf.post("/"), username="alice", password="wrong") is None
    with pytest.raises(throttling.TooManyAttempts):
        authenticate(rf.post("/"), username="alice", password=password)


def test_counts_are_bounded(db: None, monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(attempts, "KEPT", 10)
    spend(clock, *((f"u{n}", f"198.51.{n}.1") for n in range(30)))
    assert AttemptCount.objects.count() <= 10 + 3
    clock[0] += 120
    spend(clock, ("alice", "192.0.2.1"))
    assert AttemptCount.objects.count() == 3


def test_a_project_without_our_errors_answers_429_on_its_pages(rf: RequestFactory) -> None:
    middleware = TooManyAttemptsMiddleware(lambda request: HttpResponse())
    answer = middleware.process_exception(rf.post("/admin/login/"), throttling.TooManyAttempts(5))
    assert answer is not None
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert middleware.process_exception(rf.get("/"), ValueError()) is None

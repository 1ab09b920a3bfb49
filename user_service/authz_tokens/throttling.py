"""How attempts to sign in are limited, on whichever page or call they are made.

The authentication backend asks here, because it is the one place that every password goes through: what is
counted is the name that is looked up, not what somebody typed on the way to it. Three things are limited:

* Attempts under way. Hashing a password takes a fifth of a second of a processor. A process hashes
  `AUTH_LOGIN_PLACES` at a time, at most half of them for one address; whoever finds no place is answered at
  once, so that its other threads go on answering sidecars, whatever anybody sends.
* The attempts on one account from one address: beyond `AUTH_LOGIN_RATE` they are refused until the
  window ends.
* The attempts on one account from all addresses, and from one address on all accounts: beyond `OVERALL` times
  that rate each is told to come back in `SLOWED_SECONDS`, and let in when it does. Nobody can be locked
  out by somebody elsewhere: who comes back is let in, however many others there are.
"""

import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.throttling import SimpleRateThrottle

from authz_tokens import attempts
from authz_tokens.conf import settings

OVERALL = 10
SLOWED_SECONDS = 5
BUSY_SECONDS = 1
"""How soon to try again when all places are taken; an attempt holds one for a fraction of that."""

now = time.time


class TooManyAttempts(Throttled):
    default_detail = "Too many attempts to sign in."


class Places:
    """The attempts that this process has under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def held_by(self, address: str) -> Iterator[None]:
        """Raises `TooManyAttempts` when there is no place; it is never waited for one."""
        self._take(address)
        try:
            yield
        finally:
            with self._lock:
                self._held -= Counter([address])  # drops what is at zero

    def _take(self, address: str) -> None:
        places = settings.AUTH_LOGIN_PLACES
        with self._lock:
            if self._held.total() >= places or self._held[address] >= max(1, places // 2):
                raise TooManyAttempts(BUSY_SECONDS)
            self._held[address] += 1


places = Places()


@contextmanager
def attempt(request: HttpRequest, username: str) -> Iterator[None]:
    """Counts one attempt, and holds a place while its password is looked at. Raises `TooManyAttempts`."""
    address = address_of(request)
    with places.held_by(address):
        if rate := parse_rate(settings.AUTH_LOGIN_RATE):
            limits = attempts.Limits(*rate, overall=OVERALL, slowed_seconds=SLOWED_SECONDS)
            at = datetime.fromtimestamp(now(), UTC)
            if wait := attempts.count(account_of(username), address, limits, at):
                raise TooManyAttempts(wait)
        yield


def parse_rate(text: str) -> tuple[int, int] | None:
    """Attempts and seconds, as Django REST framework writes rates; nothing: no limit."""
    # It is a method that uses nothing of its instance.
    requests, seconds = SimpleRateThrottle.parse_rate(None, text or None)  # type: ignore[arg-type]
    return None if requests is None or seconds is None else (requests, seconds)


def account_of(username: str) -> str:
    """The same for all spellings by which some form, or some database, finds the same user."""
    return str(AbstractBaseUser.normalize_username(username.strip()).strip().casefold())


def address_of(request: HttpRequest) -> str:
    """Who asks: an IPv4 address, or the /64 of an IPv6 address, which one subscriber has to choose from.

    With `TRUSTED_PROXIES` that is whom the outermost of them names. A request that came through fewer
    did not come through them all: what it says is then not believed.
    """
    peer = str(request.META.get("REMOTE_ADDR", ""))
    trusted = settings.TRUSTED_PROXIES
    forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    if 0 < trusted <= len(forwarded):
        return _network(forwarded[-trusted].strip()) or _network(peer) or peer
    return _network(peer) or peer


def _network(text: str) -> str | None:
    """Some proxies name a port too."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))

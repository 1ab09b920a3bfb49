"""What may differ between two ways to the same answer, and why. Everything else is compared.

The ways are: directly, through the engine, and through the oracle in the engine's place.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from lab.wire.messages import Answer, Fields

OF_ONE_HOP: Final = {
    b"connection": "each connection has its own",
    b"keep-alive": "each connection has its own",
    b"transfer-encoding": "a body that only the end of its connection delimits is sent on in chunks",
}
"""Fields that are left out, on every way."""

MADE_ANEW: Final = {
    b"date": "the service says when it answered",
    b"expires": "Django's admin pages expire when they are made",
}
"""Fields of which presence and place are compared, but not the value."""

ADDED_BY_THE_ORACLE: Final = {
    b"content-type": "aiohttp gives every body a type",
    b"date": "aiohttp says when it answered, if the service does not",
    b"server": "aiohttp names itself, if the service does not",
}
"""Fields that are left out on the way through the oracle, if there are none directly."""

RANDOM: Final = {
    rb"(csrftoken=)\w{32}": "Django makes up a cookie against cross-site requests",
    rb"(csrftoken=\*; expires=)[^;]{29}": "that lives for a year from now",
    rb'("csrfToken": ")\w{64}': "and masks it differently in each page",
    rb'(name="csrfmiddlewaretoken" value=")\w{64}': "and in each form",
}
"""What is left out of values and bodies."""


def told(answer: Answer) -> Answer:
    """What is compared of an answer."""
    fields = tuple(
        (name, _value(name, value)) for name, value in answer.fields if name.lower() not in OF_ONE_HOP
    )
    return replace(answer, fields=fields, body=_masked(answer.body))


def told_by_oracle(answer: Answer, directly: Answer) -> Answer:
    """What is compared of the oracle's answer, when the service's own is this one."""
    own = {name.lower() for name, _ in directly.fields}
    fields: Fields = tuple(
        field
        for field in answer.fields
        if field[0].lower() in own or field[0].lower() not in ADDED_BY_THE_ORACLE
    )
    return told(replace(answer, fields=fields))


def _value(name: bytes, value: bytes) -> bytes:
    return b"*" if name.lower() in MADE_ANEW else _masked(value)


def _masked(text: bytes) -> bytes:
    for pattern in RANDOM:
        text = re.sub(pattern, rb"\1*", text)
    return text

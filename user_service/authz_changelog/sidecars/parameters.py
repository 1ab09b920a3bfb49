"""What the calls of the sidecars' API take."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from rest_framework import serializers

BIGGEST = 2**63 - 1
CHANGES_LIMIT = 1000
BUCKETS_LIMIT = 65536


class DigitsField(serializers.IntegerField):
    """A whole number in a query: ASCII digits, nothing else."""

    def to_internal_value(self, data: Any) -> int:
        if not (isinstance(data, str) and data.isascii() and data.isdigit()):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextField(serializers.Field):
    """A string of a JSON body as it is: neither trimmed nor made from another type, and of any characters."""

    default_error_messages = {"invalid": "Not a valid string.", "blank": "This field may not be blank."}  # noqa: RUF012 (the library's form)

    def __init__(self, *, allow_blank: bool, **options: Any) -> None:
        self.allow_blank = allow_blank
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if not data and not self.allow_blank:
            self.fail("blank")
        return data


class ProofQuery(serializers.Serializer):
    """Whether an answer is wanted that proves nothing, rather than none."""

    proof = serializers.ChoiceField(choices=["required", "optional"], default="required")


class ChangesQuery(serializers.Serializer):
    """`epoch` and `at` as `head`, `snapshot` and the last change message gave them."""

    epoch = serializers.UUIDField()
    after = DigitsField(min_value=0, max_value=BIGGEST)
    limit = DigitsField(min_value=1, max_value=BIGGEST, default=CHANGES_LIMIT)
    at = serializers.DateTimeField(default=None, default_timezone=UTC)


class SnapshotQuery(serializers.Serializer):
    """All of it, or one bucket of so many."""

    buckets = DigitsField(min_value=1, max_value=BUCKETS_LIMIT, default=1)
    bucket = DigitsField(min_value=0, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["bucket"] is None and attrs["buckets"] == 1:
            attrs["bucket"] = 0
        if attrs["bucket"] is None or attrs["bucket"] >= attrs["buckets"]:
            raise serializers.ValidationError({"bucket": "Name one of the buckets, from 0 to buckets - 1."})
        return attrs


class DigestQuery(serializers.Serializer):
    buckets = DigitsField(min_value=1, max_value=BUCKETS_LIMIT)


class HistoryQuery(serializers.Serializer):
    """What changed for `sub`, as far as it concerns these permissions?"""

    sub = serializers.CharField(trim_whitespace=False)
    permission = serializers.ListField(child=serializers.CharField(trim_whitespace=False), default=list)


class Question(serializers.Serializer):
    """May `sub` do that, with a token of this generation, or issued after this instant (Unix seconds)?

    No permission asks for a living user.
    """

    sub = TextField(allow_blank=False)
    permission = TextField(allow_blank=True, allow_null=True)
    token_generation = serializers.IntegerField(min_value=0, max_value=BIGGEST, allow_null=True, default=None)
    issued_after = serializers.FloatField(allow_null=True, default=None)

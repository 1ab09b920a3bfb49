"""The tables of the change log."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from django.db import models
from django.db.models.functions import Now


class Mark(models.Model):
    """ "This may have changed": written by a trigger, inside the transaction that changed it.

    It names an entity, or what many entities depend on (`marks.kinds`), by kind and key.
    It carries no state: one transaction cannot see what a concurrent one is writing.
    `tx` is PostgreSQL's number of that transaction; SQLite has none to give and leaves 0.
    """

    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=255)
    position = models.CharField(
        max_length=300, db_default="", help_text="How far the entities of a mark of many have been taken."
    )
    postponed = models.BooleanField(
        db_default=False, help_text="What a group has lost is logged; what it has gained waits for others."
    )
    gain = models.BooleanField(
        # Nothing is rebuilt to add it: on SQLite that could not be done while triggers name this table.
        null=True,
        help_text="A row was added: nobody can have lost anything by it.",
    )
    tx = models.BigIntegerField(db_default=0)
    marked_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = (
            models.Index(fields=["key", "kind"], name="authz_changelog_mark_key"),
            models.Index(fields=["tx", "id"], name="authz_changelog_mark_tx"),
            # Few among the many of an import.
            models.Index(fields=["id"], name="authz_changelog_mark_others", condition=~models.Q(kind="user")),
            models.Index(
                fields=["id"],
                name="authz_changelog_mark_losses",
                condition=models.Q(postponed=False) & ~models.Q(gain=True),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Revision(models.Model):
    """One step of the whole permission state. The first one of an epoch is empty."""

    revision = models.BigIntegerField(primary_key=True)
    entities = models.TextField(
        help_text="JSON, exactly as sent: the entities that changed and their new states."
    )
    marked_at = models.DateTimeField(null=True, help_text="When the earliest of these changes was written.")
    at = models.DateTimeField(db_index=True)
    previous_at = models.DateTimeField(
        null=True, help_text="When the revision before it was made; none for the first one of an epoch."
    )

    def __str__(self) -> str:
        return str(self.revision)


class Entity(models.Model):
    """The newest state of one user or group; deleted ones stay as tombstones."""

    kind = models.CharField(max_length=5)
    key = models.CharField(max_length=255)
    revision = models.BigIntegerField(help_text="The revision that last changed it.")
    slot = models.BigIntegerField(help_text="Decides the bucket it is compared in (see digest.py).")
    state = models.TextField(null=True, help_text="Canonical JSON; none when it is deleted.")
    owner = models.CharField(
        max_length=255,
        null=True,
        help_text="The primary key of the user whose subject it is, or was at last; none: the key itself.",
    )

    class Meta:
        verbose_name_plural = "entities"
        constraints = (models.UniqueConstraint(fields=["key", "kind"], name="authz_changelog_entity_key"),)
        indexes = (
            models.Index(
                fields=["owner"],
                name="authz_changelog_entity_owner",
                condition=models.Q(owner__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def primary_key(self) -> str:
        """Of the user or, as the log calls it, of the group."""
        return self.owner or self.key

    @cached_property
    def parsed_state(self) -> dict[str, Any]:
        """Raises `ValueError` when the entity is deleted."""
        if self.state is None:
            raise ValueError(f"{self} is deleted")
        state: dict[str, Any] = json.loads(self.state)
        return state


class End(models.Model):
    """All tokens of this user that were issued until then are void; written by a trigger, never by creation.

    It outlives the user: whoever has the key later does not inherit what was issued before.
    """

    key = models.CharField(max_length=255, help_text="As the database spells the user's subject.")
    generation = models.BigIntegerField(help_text="The last generation that is void.")
    at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["key"], name="authz_changelog_end_key"),)

    def __str__(self) -> str:
        return self.key


class Change(models.Model):
    """What a writer did: one row that came or went, or `rows` of one statement; written by a trigger.

    It stays when no revision came of it, and when it was undone before the next one. Instants, keys and what
    the author is called are never changed afterwards, but for what is forgotten.
    """

    kind = models.CharField(max_length=20, help_text="Of the entity that it happened to.")
    key = models.CharField(max_length=255, help_text="Its primary key as the database spells it; none: many.")
    came = models.BooleanField(help_text="Added, not removed.")
    what = models.CharField(max_length=20, help_text="What it was given or lost, or `itself`.")
    item = models.CharField(max_length=255, db_default="", help_text="The primary key of what.")
    name = models.CharField(
        max_length=255, db_default="", help_text="What an entity that came or went is called."
    )
    rows = models.BigIntegerField(db_default=1, help_text="0: all of the table.")
    at = models.DateTimeField()
    tx = models.BigIntegerField(db_default=0, help_text="As in `Mark`.")
    actor = models.CharField(max_length=255, db_default="", help_text="As its session said.")
    actor_key = models.CharField(
        max_length=255, db_default="", help_text="The user's primary key, if it is one."
    )
    way = models.CharField(max_length=255, db_default="", help_text="API, admin, …; none: SQL.")
    request = models.CharField(max_length=255, db_default="")
    of_many = models.BooleanField(help_text="Rows of one statement, or what many hold: in several revisions.")
    pending = models.BooleanField(db_default=True, help_text="Not yet in the log, or not all of it.")
    revision = models.BigIntegerField(
        null=True, help_text="The (first) revision that came of it, if one did."
    )
    last_revision = models.BigIntegerField(null=True, help_text="Of many rows: the last revision.")

    class Meta:
        indexes = (
            models.Index(fields=["kind", "key"], name="authz_changelog_change_key"),
            models.Index(fields=["at"], name="authz_changelog_change_at"),
            models.Index(
                fields=["actor_key"], name="authz_changelog_change_actor", condition=~models.Q(actor_key="")
            ),
            models.Index(
                fields=["revision"],
                name="authz_changelog_change_rev",
                condition=models.Q(revision__isnull=False),
            ),
            models.Index(
                fields=["kind", "key"],
                name="authz_changelog_change_pending",
                condition=models.Q(pending=True),
            ),
            models.Index(
                fields=["id"],
                name="authz_changelog_change_many",
                condition=models.Q(pending=True, of_many=True),
            ),
        )

    def __str__(self) -> str:
        return f"{'+' if self.came else '-'} {self.what} {self.item} {self.kind} {self.key}"


class Head(models.Model):
    """The newest revision, in a single row. Its table is the lock of the sequencer."""

    revision = models.BigIntegerField()
    epoch = models.UUIDField()
    subject = models.CharField(
        max_length=255, db_default="pk", help_text="The field by which the log names users."
    )

    class Meta:
        verbose_name_plural = "head"

    def __str__(self) -> str:
        return self.token

    @property
    def subject_fields(self) -> list[str]:
        """The fields by which the log names users, the main one first: the same in all of an epoch."""
        return self.subject.split(" ")

    @property
    def token(self) -> str:
        """How a revision travels outside the wire contract: `epoch8.revision`."""
        return f"{str(self.epoch)[:8]}.{self.revision}"

    @property
    def newest(self) -> Revision:
        """Read it in the snapshot of the database that showed this head."""
        return Revision.objects.get(pk=self.revision)


class Incarnation(models.Model):
    """How many groups have had this primary key, when it is more than one."""

    key = models.CharField(primary_key=True, max_length=255)
    number = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.key}#{self.number}"


class Fingerprint(models.Model):
    """What the triggers and the watched tables were when the log was last known to hear of every change."""

    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class Slice(models.Model):
    """A part of what the audit compares, and when it did so last (`revisions/audit.py`)."""

    section = models.CharField(max_length=5)
    after = models.CharField(
        max_length=255, null=True, help_text="Begins after this key; none: at the first."
    )
    until = models.CharField(max_length=255, null=True, help_text="Ends with this key; none: at the last.")
    compared_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.section} {self.after or ''}…{self.until or ''}"


class Turn(models.Model):
    """When the audit goes on, in a single row: whoever moves `due_at` does the next slice."""

    due_at = models.DateTimeField()
    relay_at = models.DateTimeField(null=True, help_text="When a relay was last seen.")
    found = models.BigIntegerField(default=0, help_text="Differences found so far.")

    def __str__(self) -> str:
        return str(self.due_at)


class Cursor(models.Model):
    """How far the relay has published, in a single row."""

    revision = models.BigIntegerField()

    def __str__(self) -> str:
        return str(self.revision)


class ServiceToken(models.Model):
    """A credential of a sidecar. Only its SHA-256 is kept: the token itself is 256 random bits."""

    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Within a minute.")

    def __str__(self) -> str:
        return self.name

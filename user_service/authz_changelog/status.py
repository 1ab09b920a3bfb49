"""How the log is, for people and monitors: read only, whatever is the matter."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from authz_changelog import clock, conf
from authz_changelog.clock import rfc3339
from authz_changelog.marks import installation, integrity, triggers
from authz_changelog.models import Cursor, Head, Mark, Revision, ServiceToken, Turn
from authz_changelog.revisions import audit

LATE = timedelta(seconds=60)
"""Marks older than that should have become a revision."""


@dataclass
class Status:
    """Instants are RFC 3339 in UTC, or none."""

    problems: list[str] = field(default_factory=list)
    """What somebody has to do something about, each with its mend."""
    head: dict[str, Any] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    triggers: dict[str, Any] = field(default_factory=dict)
    proof: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    relay: dict[str, Any] = field(default_factory=dict)
    sidecars: list[dict[str, Any]] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        return {"ok": not self.problems, **asdict(self)}


def read() -> Status:
    """Raises Django's `DatabaseError`."""
    status = Status()
    if not installation.tables_exist() or not Head.objects.exists():
        status.problems.append("The change log has no tables yet: run `manage.py migrate`.")
        return status
    now = clock.now()
    _read_head(status)
    _read_pending(status, now)
    _read_triggers(status)
    _read_sidecars(status)
    _read_relay(status, now)
    _read_audit(status, now)
    return status


def _read_head(status: Status) -> None:
    head = Head.objects.get()
    oldest = Revision.objects.aggregate(oldest=Min("revision"))["oldest"]
    status.head = {
        "revision": head.revision,
        "epoch": str(head.epoch),
        "at": rfc3339(head.newest.at),
        "oldest": oldest,
    }


def _read_pending(status: Status, now: datetime) -> None:
    oldest = Mark.objects.aggregate(oldest=Min("marked_at"))["oldest"]
    status.pending = {"marks": Mark.objects.count(), "oldest_at": _instant(oldest)}
    if oldest is not None and now - oldest > LATE:
        status.problems.append(
            f"Changes wait since {rfc3339(oldest)}: run `manage.py relay`; its log says what is in the way."
        )


def _read_triggers(status: Status) -> None:
    review = integrity.review()
    status.triggers = {"wanted": len(triggers.wanted()), "missing": len(installation.missing())}
    status.proof = {"proved": not review.broken, "broken": review.broken, "to_compare": review.changed}
    if review.broken:
        status.problems.append(
            f"Changes of {', '.join(review.broken)} leave no marks, so nothing is proved: run"
            " `manage.py install_triggers`."
        )


def _read_sidecars(status: Status) -> None:
    instants = ("created_at", "last_used_at", "revoked_at")
    for token in ServiceToken.objects.order_by("name", "pk"):
        shown = {name: _instant(getattr(token, name)) for name in instants}
        status.sidecars.append({"name": token.name, **shown})


def _read_relay(status: Status, now: datetime) -> None:
    seen, published = Turn.objects.get().relay_at, Cursor.objects.get().revision
    wanted = bool(conf.current().amqp_url)
    status.relay = {"wanted": wanted, "seen_at": _instant(seen), "published": published}
    if wanted and (seen is None or now - seen > audit.RELAY_SILENCE):
        status.problems.append(f"No relay was seen {_since(seen)}: run `manage.py relay`.")


def _read_audit(status: Status, now: datetime) -> None:
    audited_at, seconds = audit.audited_at(now), conf.current().audit_seconds
    status.audit = {"audited_at": _instant(audited_at), "seconds": seconds, "found": audit.found()}
    asked = status.relay["seen_at"] or any(each["last_used_at"] for each in status.sidecars)
    if asked and (audited_at is None or now - audited_at > 2 * timedelta(seconds=seconds)):
        status.problems.append(
            f"Not everything has been compared {_since(audited_at)}: run `manage.py relay`, or"
            " `manage.py reconcile` once."
        )


def _since(instant: datetime | None) -> str:
    return "yet" if instant is None else f"since {rfc3339(instant)}"


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)

"""Django's command. What it takes away with a table that it rebuilds is put back at once, also when it fails.

Nothing can be proved while a trigger is missing: it must not be for as long as all migrations take.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS

from authz_changelog import bootstrap


class Command(migrate.Command):
    def handle(self, *arguments: Any, **options: Any) -> Any:
        self._ours = options["database"] == DEFAULT_DB_ALIAS
        try:
            answer = super().handle(*arguments, **options)
        finally:
            self._restore()
        if self._ours:
            bootstrap.finish()
        return answer

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        super().migration_progress_callback(action, migration, fake)
        if action in ("apply_success", "unapply_success"):
            self._restore()

    def _restore(self) -> None:
        if self._ours:
            bootstrap.restore()

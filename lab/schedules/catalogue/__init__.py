"""The writers' transactions that schedules are made of, by kind."""

from lab.schedules.catalogue import births, crowds, orm, renames, rows, silent, sqlite, tables  # noqa: F401 (they enter)
from lab.schedules.catalogue.writers import CATALOGUE, KINDS, Writer

__all__ = ["CATALOGUE", "KINDS", "Writer"]

"""The change log: every change to permissions becomes a numbered revision that sidecars follow.

Four rooms, each importing only from those before it: `marks` (a change leaves a mark in its own
transaction: read `marks/triggers.py`), `revisions` (marks become revisions: `revisions/sequencer.py`), and
beside each other `sidecars` (their HTTP API: `sidecars/views.py`) and `publishing` (relay and broker).
"""

__version__ = "0.1.0"
"""The only place that says it: the distribution's metadata takes it from here."""

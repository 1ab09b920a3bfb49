"""The change log: every change to permissions becomes a numbered revision that sidecars follow.

Read `triggers.py` (a change leaves a mark in its own transaction), then `sequencer.py` (marks become
revisions), then `views.py` and `relay.py` (revisions reach the sidecars).
"""

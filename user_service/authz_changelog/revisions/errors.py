"""Errors of the change log."""


class SequencingFailed(Exception):
    """The log could not be brought up to date now; what was written stays written."""

"""Errors of the change log."""


class SequencingFailed(Exception):
    """The log could not be brought up to date now; what was written stays written."""


class GaveWay(SequencingFailed):
    """Somebody has a watched table for himself, or the database has ended the session: try again."""


class NotProved(SequencingFailed):
    """Changes may have left no marks, as triggers are missing: the log says what it knows, no more."""

"""Marks become revisions: numbered, without gaps, each a committed state as a whole."""

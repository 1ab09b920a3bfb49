"""Revisions on their way to sidecars through a broker."""

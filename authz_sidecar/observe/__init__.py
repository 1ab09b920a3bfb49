"""Hooks that turn what happens into metrics and logs."""

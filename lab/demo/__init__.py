"""What scripts/demo shows: the system at work, each request and answer printed."""

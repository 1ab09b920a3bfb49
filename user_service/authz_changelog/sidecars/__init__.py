"""What sidecars ask over HTTP: the head, the changes since, the whole state, one subject."""

"""Anonymous clients at their worst: what they can make a sidecar hold, and what others notice of it."""

"""The commands beside `run`: what an operator asks before and while the sidecar runs."""

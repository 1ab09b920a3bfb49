"""authz-sidecar: decides mutating requests from a local, provably fresh copy of the permissions."""

__version__ = "0.1.0"
"""The only place that says it: the package's metadata, `--version` and the benchmarks take it from here."""

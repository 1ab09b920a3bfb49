"""Builds what is released, and proves of each thing that it is whole and runs: docs/releases.md."""

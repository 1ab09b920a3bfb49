"""What the product is tried with. Each part runs as `python -m lab.PART`, from the root."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 90.0
"""Seconds after which whoever waits has waited in vain: far more than anything takes on a busy machine."""

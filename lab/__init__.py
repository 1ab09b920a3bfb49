"""What the product is tried with. Each part runs as `python -m lab.PART`, from the root."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

"""The fault campaign: random faults under load, and a proof that no decision was wrong (docs/faults.md)."""

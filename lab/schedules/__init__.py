"""The explorer of schedules: writers' transactions beside the change log's own, step by step, for real.

docs/schedules.md tells how it works and how to read a failure. `product` is the only module that knows the
product; the truth (`world`) and the judge share no code with it.
"""

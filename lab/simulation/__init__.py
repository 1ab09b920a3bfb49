"""The sidecar's real code in a world whose time, network and failures come from one number, the seed.

How it works and how to read what it finds: docs/simulation.md.
"""

"""The exact checker: were the decisions that were made the right ones?

It shares no code with the sidecar on purpose: a mistake there must not hide itself here.
"""

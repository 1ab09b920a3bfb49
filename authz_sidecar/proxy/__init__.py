"""The byte path: what is received, what is sent on, what is answered instead."""

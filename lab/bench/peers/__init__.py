"""The proxies that are compared: one module each."""

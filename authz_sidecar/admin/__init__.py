"""The admin port: never the proxied one, so that it can shadow no path of the service."""

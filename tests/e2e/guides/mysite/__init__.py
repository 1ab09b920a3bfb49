"""The service of whoever follows a guide: it knows nothing of the sidecar until a page says so."""

"""The permissions of other services, for which this database has no models: how they come to be here."""

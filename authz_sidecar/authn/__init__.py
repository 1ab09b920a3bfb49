"""Who asks: access tokens verified with published keys."""

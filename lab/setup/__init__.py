"""What makes a fresh machine ready. It runs with nothing installed."""

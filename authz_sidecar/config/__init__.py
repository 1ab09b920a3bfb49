"""What the sidecar can be told: settings, the policy file, and how both are read."""

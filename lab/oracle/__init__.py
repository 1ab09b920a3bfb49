"""The whole sidecar on another byte path: both must answer alike."""

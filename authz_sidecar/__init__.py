"""authz-sidecar: decides mutating requests from a local, provably fresh copy of the permissions."""

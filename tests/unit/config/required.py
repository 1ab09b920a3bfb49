"""The least that a sidecar has to be told."""

REQUIRED = {
    "AUTHZ_UPSTREAM": "http://127.0.0.1:8001",
    "AUTHZ_USER_SERVICE": "http://127.0.0.1:8000",
    "AUTHZ_SERVICE_TOKEN": "service-secret",
    "AUTHZ_POLICY": "policy.yaml",
    "AUTHZ_JWT_ISSUER": "http://issuer",
    "AUTHZ_JWT_AUDIENCE": "student-service",
}

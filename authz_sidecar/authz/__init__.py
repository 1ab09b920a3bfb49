"""May they: the answer from the local copy, or asked of the User service for each request."""

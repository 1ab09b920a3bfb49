"""The copy of the permissions that this process decides by, and what keeps it honest."""

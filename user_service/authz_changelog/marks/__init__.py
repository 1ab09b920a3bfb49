"""A change of permissions leaves a mark, in the same transaction, whatever SQL makes it."""

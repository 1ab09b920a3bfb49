"""What a mark can name: an entity, or what many entities depend on.

A mark of the second sort is wide. Its entities are looked up by whoever reads the mark, in the snapshot in
which their states are computed: a writer could not see who is given a permission at the same moment.
"""

USER, GROUP = "user", "group"
"""Entities."""
PERMISSION, CONTENT_TYPE = "permission", "content_type"
"""All who hold it, or one of its permissions: labels are made of both."""
ENDED, BORN = "ended", "born"
"""A group of this key is no more, or is new: another one than had the key before. With its members, if so."""
ALL = "all"
"""All entities of the kind that is its key, or of both: nobody can tell which of them changed."""
ENTITIES = (USER, GROUP)

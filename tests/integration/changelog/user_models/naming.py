"""Prints, as JSON, what the system check says of each field of the user model that is named."""

import json
import sys

import django
from django.contrib.auth import get_user_model

django.setup()

from authz_changelog.marks import naming  # noqa: E402 (needs Django)

user = get_user_model()
print(json.dumps({name: [each.what for each in naming.problems(user, name)] for name in sys.argv[1:]}))

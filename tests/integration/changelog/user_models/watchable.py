"""Prints, as JSON, what the system check says of each model of `members`."""

import json
import os

import django
from django.apps import apps

django.setup()

from authz_changelog.marks import watchable  # noqa: E402 (needs Django)

vendor = os.environ["VENDOR"]
found = {
    model.__name__: [problem.id for problem in watchable.problems(model, vendor)]
    for model in apps.get_app_config("members").get_models()
    if hasattr(model, "USERNAME_FIELD")
}
print(json.dumps(found))

"""Makes the tables, and one user who may use the admin: `python -m mysite.people KEY NAME PASSWORD`."""

import os
import sys

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    key, name, password = sys.argv[1:]
    User.objects.create_superuser(name, password=password, pk=key)

from django.core.management import call_command
from django.db import migrations


def create(apps, schema_editor):
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    """The table that holds the counts of sign-in attempts: `migrate` alone makes a working database."""

    dependencies = [("tokens", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]

from django.db import migrations, models


class Migration(migrations.Migration):
    """Keys first: before PostgreSQL has counted them it thinks that `kind` tells rows apart, and reads all."""

    dependencies = [("changelog", "0002_previous_at")]

    operations = [
        migrations.RemoveIndex(model_name="mark", name="changelog_mark_entity"),
        migrations.AddIndex(
            model_name="mark",
            index=models.Index(fields=["key", "kind"], name="changelog_mark_key"),
        ),
        migrations.RemoveConstraint(model_name="entity", name="changelog_entity_key"),
        migrations.AddConstraint(
            model_name="entity",
            constraint=models.UniqueConstraint(fields=["key", "kind"], name="changelog_entity_key"),
        ),
    ]

"""What the change log does, in whatever Django this is run; raises when it does not."""

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 (needs Django)
from django.contrib.auth.models import Permission  # noqa: E402
from django.core.management import call_command  # noqa: E402

from authz_changelog.revisions import generations, subjects  # noqa: E402
from authz_changelog.revisions.reconcile import reconcile  # noqa: E402
from authz_changelog.revisions.sequencer import sequence  # noqa: E402
from authz_changelog.sidecars import grants  # noqa: E402


def may(name: str) -> tuple[bool, str]:
    sequence()
    return grants.decide(grants.of(name), "members.add_plain", 0)


call_command("migrate", "--run-syncdb", verbosity=0)
call_command("check", "--database", "default", "--fail-level", "WARNING")
ann = get_user_model().objects.create(username="ann")
assert may("ann") == (False, "denied")
ann.user_permissions.add(Permission.objects.get(codename="add_plain"))
assert may("ann") == (True, "granted")
get_user_model().objects.filter(pk=ann.pk).update(username="eve")
assert may("ann") == (False, "unknown_subject")
assert may("eve") == (True, "granted")
generations.end(subjects.user("eve"))
assert may("eve") == (False, "token_revoked")
ann.delete()
assert may("eve") == (False, "unknown_subject")
assert reconcile() == []
call_command("authz_status", "--json")
print(django.get_version())

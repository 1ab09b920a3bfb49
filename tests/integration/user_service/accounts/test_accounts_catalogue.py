"""The permissions of other services are there, whatever Django's housekeeping does."""

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command

from accounts.models import User
from authz_changelog.catalogue.declaring import declare_settings

LABELS = {f"students.{verb}_student" for verb in ("add", "change", "delete", "view")}


def existing() -> set[str]:
    rows = Permission.objects.filter(content_type__app_label="students")
    return {f"{permission.content_type.app_label}.{permission.codename}" for permission in rows}


def test_it_is_there_after_migrate(db: None) -> None:
    assert existing() == LABELS


def test_creating_it_again_changes_nothing_and_mends_what_is_missing(db: None) -> None:
    before = list(Permission.objects.order_by("pk").values_list())
    declare_settings()
    assert list(Permission.objects.order_by("pk").values_list()) == before
    Permission.objects.filter(codename="view_student").delete()
    declare_settings()
    assert existing() == LABELS


@pytest.mark.django_db(transaction=True)
def test_it_survives_a_flush() -> None:
    call_command("flush", interactive=False, verbosity=0)
    assert existing() == LABELS


def test_it_survives_the_removal_of_stale_content_types(
    alice: User, capsys: pytest.CaptureFixture[str]
) -> None:
    permission = Permission.objects.get(codename="change_student")
    alice.user_permissions.add(permission)
    stale = ContentType.objects.create(app_label="accounts", model="gone")
    call_command("remove_stale_contenttypes", include_stale_apps=True, interactive=False, verbosity=0)
    assert existing() == LABELS
    assert alice.has_perm("students.change_student")
    assert not ContentType.objects.filter(pk=stale.pk).exists()
    assert "ignored" in capsys.readouterr().err

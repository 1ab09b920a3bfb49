"""Django admin: every page loads, labels can be read, and staff cannot promote themselves."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from accounts.models import User
from authz_tokens import services
from authz_tokens.models import SignIn


@pytest.fixture
def browser(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


MODELS = ["accounts/user", "auth/group", "auth/permission", "tokens/signin"]


@pytest.mark.parametrize("model", MODELS)
def test_every_page_loads(browser: Client, alice: User, model: str) -> None:
    services.sign_in(user=alice, audience="student-service")
    Group.objects.create(name="registrars")
    key = {
        "accounts/user": alice.pk,
        "auth/group": Group.objects.get().pk,
        "auth/permission": Permission.objects.get(codename="add_student").pk,
        "tokens/signin": SignIn.objects.get().pk,
    }[model]
    for page in ("", "?q=a", f"{key}/change/"):
        assert browser.get(f"/admin/{model}/{page}").status_code == 200
    can_add = model in {"accounts/user", "auth/group", "auth/permission"}
    assert browser.get(f"/admin/{model}/add/").status_code == (200 if can_add else 403)


@pytest.mark.parametrize("page", ["accounts/user/{alice}/change/", "auth/group/add/"])
def test_permissions_are_chosen_by_label(browser: Client, alice: User, page: str) -> None:
    html = browser.get(f"/admin/{page.format(alice=alice.pk)}").content.decode()
    assert "students.change_student — Can change student" in html
    assert "students | student" not in html


INTERNAL = ("authz_changelog.", "tokens.", "sessions.", "contenttypes.", "admin.", "auth.change_permission")


@pytest.mark.parametrize("page", ["accounts/user/{alice}/change/", "auth/group/add/", "auth/permission/"])
def test_internal_tables_are_not_offered(browser: Client, alice: User, page: str) -> None:
    html = browser.get(f"/admin/{page.format(alice=alice.pk)}?all=").content.decode()
    assert "students.change_student" in html
    assert "accounts.change_user" in html
    assert "auth.change_group" in html
    assert [label for label in INTERNAL if f"{label}view_" in html or f"{label} " in html] == []


def test_what_a_user_holds_already_stays_when_its_form_is_saved(browser: Client, alice: User) -> None:
    held = Permission.objects.get(codename="view_session")
    alice.user_permissions.add(held)
    page = browser.get(f"/admin/accounts/user/{alice.pk}/change/")
    form = page.context["adminform"].form
    offered = [str(each) for each in form["user_permissions"].value()]
    values = {
        "username": "alice",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "user_permissions": offered,
    }
    assert browser.post(f"/admin/accounts/user/{alice.pk}/change/", values).status_code == 302
    assert list(alice.user_permissions.all()) == [held]


def test_a_permission_of_another_service_is_added(browser: Client) -> None:
    answer = browser.post("/admin/auth/permission/add/", {"label": "reports.export_report", "name": ""})
    assert answer.status_code == 302
    permission = Permission.objects.get(codename="export_report")
    assert (permission.content_type.app_label, permission.name) == ("reports", "Can export report")
    assert browser.get(f"/admin/auth/permission/{permission.pk}/change/").status_code == 200


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("export", "&#x27;export&#x27; has no dot: write app_label.codename, like students.export"),
        ("students.add_student", "exists already"),
        ("accounts.fly", "is an app of this project"),
        ("", "required"),
    ],
)
def test_one_that_cannot_be_added_is_told_why(browser: Client, label: str, says: str) -> None:
    before = Permission.objects.count()
    answer = browser.post("/admin/auth/permission/add/", {"label": label, "name": ""})
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert Permission.objects.count() == before


def test_permissions_are_listed_by_label(browser: Client) -> None:
    assert "students.change_student" in browser.get("/admin/auth/permission/?q=students").content.decode()


def test_the_secret_of_a_sign_in_is_not_shown(browser: Client, alice: User) -> None:
    services.sign_in(user=alice, audience="student-service")
    family = SignIn.objects.get()
    assert family.digest not in browser.get(f"/admin/tokens/signin/{family.pk}/change/").content.decode()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("page", ["", "add/", "{alice}/change/", "{alice}/delete/"])
def test_staff_with_every_permission_are_kept_out(
    client: Client, make_user, alice: User, model: str, page: str
) -> None:
    staff = make_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    client.force_login(staff)
    assert client.get(f"/admin/{model}/{page.format(alice=alice.pk)}").status_code in {302, 403}
    assert client.get("/admin/").status_code == 200


def test_signing_users_out(browser: Client, admin: User, alice: User) -> None:
    chosen = {"action": "sign_out_everywhere", "_selected_action": [alice.pk]}
    assert browser.post("/admin/accounts/user/", chosen, follow=True).status_code == 200
    alice.refresh_from_db()
    assert alice.token_generation == 1


def test_deactivating_in_the_form_ends_the_tokens(browser: Client, alice: User) -> None:
    form = {
        "username": "alice",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "first_name": "A",
    }
    answer = browser.post(f"/admin/accounts/user/{alice.pk}/change/", form)
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert (alice.is_active, alice.token_generation) == (False, 1)


def test_a_new_password_in_the_form_ends_the_tokens(browser: Client, alice: User) -> None:
    form = {"password1": "a long enough one", "password2": "a long enough one", "usable_password": "true"}
    answer = browser.post(f"/admin/accounts/user/{alice.pk}/password/", form)
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("a long enough one")
    assert alice.token_generation == 1


def test_changing_ones_own_password_keeps_the_session(browser: Client, password: str) -> None:
    form = {
        "old_password": password,
        "new_password1": "a long enough one",
        "new_password2": "a long enough one",
    }
    assert browser.post("/admin/password_change/", form).status_code == 302
    assert browser.get("/admin/").status_code == 200

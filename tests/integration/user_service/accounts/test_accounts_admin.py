"""Django admin: every page loads, labels can be read, and staff cannot promote themselves."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from accounts.models import User
from tokens import services
from tokens.models import SignIn


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
    can_add = model in {"accounts/user", "auth/group"}
    assert browser.get(f"/admin/{model}/add/").status_code == (200 if can_add else 403)


@pytest.mark.parametrize("page", ["accounts/user/{alice}/change/", "auth/group/add/"])
def test_permissions_are_chosen_by_label(browser: Client, alice: User, page: str) -> None:
    html = browser.get(f"/admin/{page.format(alice=alice.pk)}").content.decode()
    assert "students.change_student — Can change student" in html
    assert "students | student" not in html


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

"""The change log keeps the wire contract by the word of a judge that knows nothing of Django."""

import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.contrib.auth.models import Group
from django.core.wsgi import get_wsgi_application
from django.db import connections

from accounts.models import User
from authz_changelog.sidecars import service_tokens
from authz_sidecar.cli import main
from tests.integration.changelog.writers import permission


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """It tells nothing."""


def test_the_change_log_keeps_the_contract(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTHZ_SERVICE_TOKEN", service_tokens.issue("judge"))
    ann, staff = User.objects.create(username="ann"), Group.objects.create(name="staff")
    staff.permissions.add(permission("add_student"))
    ann.groups.add(staff)
    ann.user_permissions.add(permission("change_student"))
    User.objects.create(username="root", is_superuser=True)
    User.objects.create(username="gone", is_active=False)
    User.objects.create(username="bob").delete()
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)

    def serve() -> None:
        server.serve_forever(poll_interval=0.02)
        connections["default"].close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        code = main(["conformance", f"http://127.0.0.1:{server.server_port}"])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (code, "BROKEN" in capsys.readouterr().out) == (0, False)

"""Everything of the running system that is worth opening, and a request to copy."""

from __future__ import annotations

from lab.demo.screen import say
from lab.stack.system import Stack

CURL = """\
    token=$(curl -s {users}/api/token/ -d username=bob -d password={password} |
      sed 's/.*"access": *"\\([^"]*\\)".*/\\1/')
    curl -i -X PATCH {sidecar}/students/1/ -H "Authorization: Bearer $token" -d status=enrolled"""


def tell(stack: Stack) -> None:
    say("\nThe system stays up until Ctrl-C:")
    for what, where in _places(stack).items():
        say(f"    {what:<40} {where}")
    say("\nA change by bob, who may make it; carol may not:")
    users, sidecar = stack.user_service, stack.sidecar
    say(CURL.format(users=users.url, password=users.password, sidecar=sidecar.url))


def _places(stack: Stack) -> dict[str, str]:
    users, admin = stack.user_service.url, stack.sidecar.admin_url
    return {
        "Student service, through the sidecar": f"{stack.sidecar.url}/students/",
        "the sidecar's page": f"{admin}/",
        "its token": stack.sidecar.env["AUTHZ_ADMIN_TOKEN"],
        "the sidecar's state": f"{admin}/status",
        "the sidecar's metrics": f"{admin}/metrics",
        "its decisions, a JSON line each": str(stack.sidecar.log_path),
        "User service": f"{users}/",
        "its API": f"{users}/api/",
        "its API's documentation": f"{users}/api/docs/",
        "its admin": f"{users}/admin/",
        "sign in as admin, alice, bob or carol": stack.user_service.password,
    }

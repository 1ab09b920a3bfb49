"""An explanation, as `explain` gives it, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def worded(found: Mapping[str, Any]) -> list[str]:
    """The explanation in lines."""
    who = found["subject"] or "somebody unknown"
    outcome = "let through" if found["allowed"] else f"refused with {found['status']}"
    lines = [f"{found['method']} {found['target']} by {who}: {outcome}, {found['code']}"]
    lines.append(f"  because   {found['detail'] or found['meaning']}")
    if not found["enforced"]:
        lines.append("  but       the sidecar, or this rule, is in shadow mode: nothing is refused")
    rule = found["rule"]
    lines.append(f"  rule      {_rule(rule)}" if rule else "  rule      none counts")
    lines += [f"  not       {_rule(each)}: {each['why']}" for each in found["closest"]]
    lines += _grants(found)
    lines += _when(found)
    lines.append(f"  policy    {found['policy']}")
    if found["mend"] and not found["allowed"]:
        lines.append(f"  mend      {found['mend']}")
    return lines


def _when(found: Mapping[str, Any]) -> list[str]:
    if not found["revision"]:
        return []
    age = ""
    if found["staleness"] is not None:
        age = f", proved {found['staleness']:.1f} s ago"
    elif "as_of" in found:
        age = f" of {found['as_of']}"
    return [f"  revision  {found['revision']}{age}", *_changed(found)]


def _changed(found: Mapping[str, Any]) -> list[str]:
    changed = found.get("last_change")
    if changed is None:
        return [f"  history   {found['history']}"] if found.get("history") else []
    told = changed["text"] or f"by {changed['revision']} at {changed['at']}"
    before = changed["before"]
    was = f"before, {before}" if before else "perhaps, as it is not told of whom"
    return [f"  changed   {told}: {was}"]


def _rule(rule: Mapping[str, Any]) -> str:
    return f"{rule['rule']} needs {rule['requires']} ({rule['place']})"


def _grants(found: Mapping[str, Any]) -> list[str]:
    user = found.get("user")
    if user is None:
        return []
    if not user["active"]:
        return ["  user      is deactivated"]
    if user["superuser"]:
        return ["  grant     a superuser has every permission"]
    return [f"  grant     {_grant(each, whole=found['all_groups_known'])}" for each in found["permissions"]]


def _grant(each: Mapping[str, Any], *, whole: bool) -> str:
    ways = ["directly"] if each["direct"] else []
    ways += [f"through group {group}" for group in each["through_groups"]]
    if ways:
        return f"{each['permission']} is held {' and '.join(ways)}"
    others = each["other_groups_with_it"]
    unknown = "" if whole else " (not all groups are known here)"
    given = (
        f"; it would come with group {' or '.join(others)}"
        if others
        else "; no group has it"
        if whole
        else ""
    )
    return f"{each['permission']} is missing{given}{unknown}"

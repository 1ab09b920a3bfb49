"""Another configuration: put into force as a whole, or rejected as a whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from authz_sidecar.config import configuration
from authz_sidecar.config.configuration import Configuration, Sources
from authz_sidecar.reloading import Reloader, Report
from lab.wire.peers import wait_for

RULE = "  - {methods: [POST], path: /%s/, allow: anyone}\n"
POLICY = "version: 1\nrules:\n" + RULE


@dataclass
class World:
    """Files, and what became of them."""

    directory: Path
    reloader: Reloader
    applied: list[Configuration] = field(default_factory=list)
    told: list[Report] = field(default_factory=list)

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    @property
    def paths(self) -> list[str]:
        return [rule.path for rule in self.reloader.in_force.file.policy.rules]


@pytest.fixture
def world(tmp_path: Path) -> World:
    environ = {
        "AUTHZ_UPSTREAM": "http://127.0.0.1:8001",
        "AUTHZ_USER_SERVICE": "http://127.0.0.1:8000",
        "AUTHZ_JWT_ISSUER": "http://issuer",
        "AUTHZ_JWT_AUDIENCE": "student-service",
        "AUTHZ_SERVICE_TOKEN_FILE": str(tmp_path / "token"),
        "AUTHZ_REDIS_URL_FILE": str(tmp_path / "redis"),
    }
    (tmp_path / "token").write_text("first")
    (tmp_path / "redis").write_text("redis://localhost")
    (tmp_path / "policy.yaml").write_text(POLICY % "a")
    read = configuration.read(Sources({"AUTHZ_POLICY": str(tmp_path / "policy.yaml")}, environ))
    applied: list[Configuration] = []
    told: list[Report] = []
    return World(tmp_path, Reloader(read, applied.append, told.append, lambda: 7.0), applied, told)


async def test_a_good_one_is_put_into_force_and_says_what_has_changed(world: World) -> None:
    world.write("policy.yaml", POLICY % "b")
    world.write("token", "second\n")
    report = await world.reloader.reload("test")
    assert report == Report(
        accepted=True, cause="test", at=7.0, changed=("AUTHZ_POLICY", "AUTHZ_SERVICE_TOKEN")
    )
    assert (world.paths, world.told, world.reloader.latest) == (["/b/"], [report], report)
    (applied,) = world.applied
    assert applied.settings.user_service.token == "second"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("policy.yaml", POLICY.replace("version: 1", "version: 2"), "policy.yaml:1: version: must be 1"),
        ("policy.yaml", "", "policy.yaml:1: must be a mapping"),
        ("token", "", "AUTHZ_SERVICE_TOKEN: is required"),
        ("redis", "http://localhost", "AUTHZ_REDIS_URL: must be a URL"),
    ],
)
async def test_of_a_bad_one_nothing_is_put_into_force(
    world: World, name: str, text: str, problem: str
) -> None:
    before = world.reloader.in_force
    world.write("policy.yaml", POLICY % "b")
    world.write("token", "second")
    world.write(name, text)
    report = await world.reloader.reload("test")
    assert (report.accepted, world.applied, world.reloader.in_force) == (False, [], before)
    assert any(problem in each for each in report.problems), report.problems
    world.write("policy.yaml", POLICY % "c")
    world.write("token", "second")
    world.write("redis", "redis://localhost")
    assert (await world.reloader.reload("test")).accepted
    assert world.paths == ["/c/"]


async def test_a_file_that_is_gone_is_rejected(world: World) -> None:
    (world.directory / "policy.yaml").unlink()
    report = await world.reloader.reload("test")
    assert "cannot be read" in report.problems[0]
    assert world.paths == ["/a/"]


async def test_what_needs_a_restart_is_said(world: World) -> None:
    world.write("redis", "redis://elsewhere")
    report = await world.reloader.reload("test")
    assert (report.changed, report.needs_restart) == ((), ("AUTHZ_REDIS_URL",))


async def test_two_at_once_come_one_after_the_other(world: World) -> None:
    world.write("policy.yaml", POLICY % "b")
    first, second = await asyncio.gather(world.reloader.reload("one"), world.reloader.reload("two"))
    assert (first.changed, second.changed) == (("AUTHZ_POLICY",), ())


def swapped(world: World, name: str, text: str) -> None:
    """As the kubelet renews a ConfigMap: another directory behind one symbolic link."""
    new = world.directory / f"..{name}"
    new.mkdir()
    (new / "policy.yaml").write_text(text)
    os.symlink(new, world.directory / "..data_tmp")
    os.rename(world.directory / "..data_tmp", world.directory / "..data")


def linked(world: World) -> None:
    swapped(world, "one", POLICY % "a")
    path = world.directory / "policy.yaml"
    path.unlink()
    path.symlink_to(world.directory / "..data" / "policy.yaml")


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.write("policy.yaml", POLICY % "b"),
        lambda world: swapped(world, "two", POLICY % "b"),
    ],
    ids=["written", "symlink"],
)
async def test_files_are_watched(world: World, change: Callable[[World], None]) -> None:
    linked(world)
    watching = asyncio.create_task(world.reloader.watch(0.01))
    change(world)
    await wait_for(lambda: world.paths == ["/b/"])
    watching.cancel()
    assert [report.cause for report in world.told] == ["the files have changed"]


async def test_a_bad_file_is_tried_once_until_it_changes_again(world: World) -> None:
    watching = asyncio.create_task(world.reloader.watch(0.001))
    world.write("policy.yaml", "bad")
    await wait_for(lambda: len(world.told) == 1)
    looks = 0
    contents = world.reloader.in_force.sources.contents

    class Counting(Sources):
        def contents(self) -> configuration.Contents:
            nonlocal looks
            looks += 1
            return contents()

    before = world.reloader.in_force
    counting = Counting(before.sources.flags, before.sources.environ)
    world.reloader.in_force = replace(before, sources=counting)
    await wait_for(lambda: looks > 5)
    assert [report.accepted for report in world.told] == [False]
    world.write("policy.yaml", POLICY % "b")
    await wait_for(lambda: world.paths == ["/b/"])
    watching.cancel()


async def test_nothing_changed_nothing_done(world: World) -> None:
    report = await world.reloader.reload("test")
    assert (report.accepted, report.changed, report.needs_restart) == (True, (), ())

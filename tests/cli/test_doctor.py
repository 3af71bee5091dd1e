"""`doctor` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildonce.engines.checking import check_engine, emulated_platforms
from tests.cli.conftest import Call
from tests.fakes.registry import FakeRegistry

INSPECTED = """\
Name:          default
Driver:        {driver}

Nodes:
Name:             node
Platforms:        linux/amd64, linux/arm64
Labels:
 Driver:          not this
{label}
"""
IN_CONTAINERD = " org.mobyproject.buildkit.worker.snapshotter: overlayfs"


def write_docker(environment: dict[str, str], *, driver: str = "docker", label: str = "", up: bool = True) -> None:
    """Put a `docker` on the PATH that answers questions."""
    program = Path(environment["PATH"]) / "docker"
    inspected = program.with_name("inspected")
    inspected.write_text(INSPECTED.format(driver=driver, label=label))
    answer = f"/bin/cat {inspected}" if up else "exit 1"
    program.write_text(
        '#!/bin/sh\ncase "$1 $2" in\n"buildx version") echo "example.org/buildx v0.99.0 abc" ;;\n'
        f'"buildx inspect") {answer} ;;\n'
        "*) echo started something >&2; exit 9 ;;\nesac\n"
    )
    program.chmod(0o755)


def test_a_repository_is_examined(call: Call, registry: FakeRegistry, environment: dict[str, str]) -> None:
    write_docker(environment)
    ran = call("doctor", f"{registry.host}/acme/family")
    assert ran.code == 0, ran.err
    assert "mounts" in ran.out
    assert "It can be shipped to." in ran.out
    assert "docker buildx v0.99.0, builder `default`, driver `docker`" in ran.out
    assert "images are saved out of Docker's own store" in ran.out


def test_what_was_found_is_remembered(call: Call, registry: FakeRegistry, environment: dict[str, str]) -> None:
    registry.single_post = True
    call("doctor", f"{registry.host}/acme/family")
    (memo,) = (Path(environment["BUILDONCE_STATE"]) / "memos/registries").iterdir()
    known = json.loads(memo.read_text())[registry.url]
    assert {name: lesson["value"] for name, lesson in known.items()} == {
        "single_post": True,
        "mount": True,
        "anonymous_mount": False,
        "multi_tag": False,
        "referrers": False,
    }


def test_it_prints_json(call: Call, registry: FakeRegistry, environment: dict[str, str]) -> None:
    write_docker(environment, driver="docker-container")
    document = json.loads(call("doctor", f"{registry.host}/acme/family", "--json").out)
    assert document["schema"] == "buildonce.checkup/1"
    assert document["usable"] is True
    assert [item["subject"] for item in document["engine"]] == ["engine", "platforms"]
    assert {"subject", "answer", "seen", "meaning", "needed"} == set(document["registry"][0])


def test_a_registry_that_cannot_be_used_is_exit_code_4(call: Call, registry: FakeRegistry) -> None:
    registry.forbidden = {("acme/family", "push")}
    ran = call("doctor", f"{registry.host}/acme/family")
    assert ran.code == 4
    assert "It cannot be shipped to as it is." in ran.out
    assert "denies access to `acme/family`" in ran.out


@pytest.mark.parametrize(
    "arguments", [("oci:layout",), ("a/b", "--cache", "other.example/c"), ("a/b", "--cache", "oci:x")]
)
def test_what_is_no_repository_is_a_usage_error(call: Call, arguments: tuple[str, ...]) -> None:
    assert call("doctor", *arguments).code == 2


@pytest.mark.parametrize(("up", "answer"), [(True, "yes"), (False, "failed")])
async def test_an_engine_is_asked_and_not_started(environment: dict[str, str], answer: str, *, up: bool) -> None:
    write_docker(environment, label=IN_CONTAINERD, up=up)
    found = await check_engine(environment)
    assert found.checks[0].answer.value == answer
    assert [check.answer.value for check in found.checks[1:]] == (["yes", "yes"] if up else [])


async def test_dockers_own_store_without_the_command_that_saves_from_it_is_of_no_use(
    environment: dict[str, str], tmp_path: Path
) -> None:
    write_docker(environment)
    plugins = tmp_path / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    program = Path(environment["PATH"]) / "docker"
    alone = program.rename(plugins / "docker-buildx")
    alone.write_text(alone.read_text().replace('case "$1 $2"', 'case "buildx $1"'))
    store = (await check_engine(environment | {"DOCKER_CONFIG": str(plugins.parent)})).checks[-1]
    assert (store.subject, store.answer.value) == ("containerd's image store", "failed")
    assert "there is no `docker` command" in store.meaning


async def test_a_node_that_does_not_run_yet_is_not_said_to_run_anything(environment: dict[str, str]) -> None:
    write_docker(environment, driver="kubernetes")
    inspected = Path(environment["PATH"]) / "inspected"
    inspected.write_text("Name: far\nDriver: kubernetes\n\nName: far0\nStatus: inactive\n")
    platforms = (await check_engine(environment)).checks[1]
    assert (platforms.subject, platforms.answer.value, platforms.seen) == ("platforms", "not tried", "")


async def test_a_machine_without_an_engine_is_told_what_that_means(environment: dict[str, str]) -> None:
    found = await check_engine(environment)
    assert found.checks[0].seen == "no `docker` and no `buildah` and no `podman`"
    assert "the cache has" in found.checks[0].meaning


def write_buildah(environment: dict[str, str], version: str) -> None:
    program = Path(environment["PATH"]) / "buildah"
    program.write_text(f'#!/bin/sh\necho "buildah version {version} (image-spec 1.1.1)"\n')
    program.chmod(0o755)


async def test_buildah_is_found_beside_buildx_and_what_it_lacks_is_named(environment: dict[str, str]) -> None:
    write_docker(environment, driver="docker-container")
    write_buildah(environment, "1.39.3")
    checks = (await check_engine(environment)).checks
    assert [check.subject for check in checks] == [
        "engine",
        "platforms",
        "engine",
        "other platforms",
        "all of BuildKit's Dockerfile",
    ]
    assert checks[2].seen == "buildah 1.39.3"
    assert "`COPY --parents`" in checks[4].seen
    assert "heredocs" not in checks[4].seen


async def test_the_engine_that_is_asked_for_comes_first(environment: dict[str, str]) -> None:
    write_docker(environment)
    write_buildah(environment, "1.43.2")
    environment |= {"BUILDONCE_ENGINE": "buildah", "BUILDAH_ISOLATION": "chroot"}
    assert (await check_engine(environment)).checks[0].seen == "buildah 1.43.2, isolation `chroot`"


async def test_an_engine_that_is_asked_for_and_not_there_has_failed(environment: dict[str, str]) -> None:
    write_docker(environment)
    checks = (await check_engine(environment | {"BUILDONCE_ENGINE": "podman"})).checks
    assert (checks[0].seen, checks[0].answer.value) == ("no `podman`", "failed")
    assert checks[1].answer.value == "yes"


async def test_an_old_buildah_is_too_old(environment: dict[str, str]) -> None:
    write_buildah(environment, "1.23.1")
    (check,) = (await check_engine(environment)).checks
    assert (check.answer.value, check.seen) == ("failed", "this buildah is Buildah 1.23.1, which is too old")


def test_emulators_are_named_by_the_kernels_registrations(tmp_path: Path) -> None:
    (tmp_path / "any-name").write_text("enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\n")
    (tmp_path / "qemu-s390x").write_text("disabled\ninterpreter /usr/bin/qemu-s390x\n")
    (tmp_path / "python3.11").write_text("enabled\ninterpreter /usr/bin/python3.11\n")
    (tmp_path / "status").write_text("enabled\n")
    assert list(emulated_platforms(tmp_path)) == ["aarch64"]

"""Killed, interrupted and cut off at every step of a push: no tag moves, nothing stays half done, the next run ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_bad_days import PLAIN, repository_at, write
from tests.fakes.registry import FakeRegistry, Fault, reset, status

PLATFORMS = "--platform=linux/amd64,linux/arm64"

STEPS = {
    "first request": ("HEAD", "/team/app/"),
    "first upload": ("POST", "/team/app/blobs/uploads/"),
    "first blob": ("PUT", "/team/app/blobs/uploads/"),
    "first manifest": ("PUT", "/team/app/manifests/sha256"),
}
STRIKES = [
    *(pytest.param(signal.SIGINT, *step, id=f"interrupt at {name}") for name, step in STEPS.items()),
    *(pytest.param(signal.SIGKILL, *step, id=f"kill at {name}") for name, step in STEPS.items()),
    pytest.param(signal.SIGTERM, *STEPS["first manifest"], id="end at first manifest"),
]
FIRST_TAG = ("PUT", "/team/app/manifests/(one|two)$")


class Runner:
    """buildonce in processes of its own, which can be killed."""

    def __init__(self, project: Path, environment: dict[str, str]) -> None:
        self.environment = {**environment, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process: subprocess.Popen[str] | None = None
        self._project = project

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run to the end; return exit code and messages."""
        with subprocess.Popen(
            [sys.executable, "-m", "buildonce", *arguments],
            cwd=self._project,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as self.process:
            _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def struck_by(self, number: signal.Signals, method: str, path: str) -> Fault:
        """Return the fault that hits the process with a signal when it sends such a request, and never answers."""

        async def strike(*_: object) -> None:
            assert self.process is not None
            self.process.send_signal(number)
            await asyncio.sleep(0.3)

        return Fault(act=strike, method=method, path=path)


@pytest.fixture
def runner(project: Path, environment: dict[str, str]) -> Runner:
    write(project, PLAIN)
    return Runner(project, environment)


def shipped(registry: FakeRegistry) -> dict[str, str]:
    """Return the tags of the images; fails unless each leads to a complete index over both platforms."""
    repository = registry.repository("team/app")
    for digest in repository.tags.values():
        index = json.loads(repository.manifests[digest][1])
        assert len(index["manifests"]) == 2
        for child in index["manifests"]:
            manifest = json.loads(repository.manifests[child["digest"]][1])
            for part in (manifest["config"], *manifest["layers"]):
                assert len(repository.blobs[part["digest"]]) == part["size"]
    return dict(repository.tags)


def leftovers(folder: Path) -> list[str]:
    """Return the files that look half written."""
    return [str(path) for path in folder.rglob("*") if re.search(r"\.(partial|tmp|new)$|^tmp", path.name)]


@pytest.mark.parametrize(("number", "method", "path"), STRIKES)
def test_a_signal_before_the_tags_moves_none_of_them(
    runner: Runner, registry: FakeRegistry, project: Path, number: signal.Signals, method: str, path: str
) -> None:
    arguments = ("build", PLATFORMS, "--push", repository_at(registry))
    assert runner.run(*arguments)[0] == 0
    before = shipped(registry)
    (project / "file").write_text("changed\n")
    # Known tags that are to move are not asked for; another memory asks.
    runner.environment["BUILDONCE_STATE"] += "-other"
    registry.faults.append(runner.struck_by(number, method, path))
    code, said = runner.run(*arguments)
    assert not registry.faults.pop().times, "the request was never sent"
    assert shipped(registry) == before
    assert "Traceback" not in said
    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    assert number is signal.SIGKILL or "interrupted" in said
    code, said = runner.run(*arguments)
    assert code == 0, said
    after = shipped(registry)
    assert all(after[tag] != before[tag] for tag in ("one", "two"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_between_the_tags_leaves_each_of_them_complete(
    runner: Runner, registry: FakeRegistry, project: Path, number: signal.Signals
) -> None:
    arguments = ("build", PLATFORMS, "--push", repository_at(registry))
    assert runner.run(*arguments)[0] == 0
    before = shipped(registry)
    (project / "file").write_text("changed\n")
    registry.faults.append(runner.struck_by(number, *FIRST_TAG))
    code, said = runner.run(*arguments)
    assert code == (130 if number is signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in said
    shipped(registry)
    code, said = runner.run(*arguments)
    assert code == 0, said
    after = shipped(registry)
    assert all(after[tag] != before[tag] for tag in ("one", "two"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_a_layout_is_written_leaves_it_as_it_was(
    runner: Runner, registry: FakeRegistry, project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = ("build", PLATFORMS, "--output", f"oci:{tmp_path / 'out'}")
    (project / "Dockerfile").write_text(PLAIN.replace("busybox:1", f"{registry.host}/library/busybox:1"))
    assert runner.run(*arguments, "--platform=linux/amd64")[0] == 0
    before = (tmp_path / "out" / "index.json").read_bytes()
    # The first layer of the other platform comes while everything else is ready.
    registry.log.clear()
    registry.faults.append(runner.struck_by(number, "GET", "/library/busybox/blobs/"))
    (project / "file").write_text("changed\n")
    runner.environment["BUILDONCE_STATE"] += "-other"
    code, said = runner.run(*arguments)
    assert code == (130 if number is signal.SIGINT else -signal.SIGKILL), said
    assert "Traceback" not in said
    assert (tmp_path / "out" / "index.json").read_bytes() == before
    assert number is signal.SIGKILL or not leftovers(tmp_path / "out")
    code, said = runner.run(*arguments)
    assert code == 0, said
    assert (tmp_path / "out" / "index.json").read_bytes() != before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_work_behind(
    runner: Runner, registry: FakeRegistry, tmp_path: Path, number: signal.Signals
) -> None:
    registry.faults.append(runner.struck_by(number, "PUT", "/team/app/manifests/sha256"))
    assert runner.run("build", PLATFORMS, "--push", repository_at(registry))[0] == 130
    assert list((tmp_path / "state" / "work").iterdir()) == []
    assert leftovers(tmp_path / "state") == []


def test_what_a_killed_run_left_goes_away(runner: Runner, registry: FakeRegistry, tmp_path: Path) -> None:
    arguments = ("build", PLATFORMS, "--push", repository_at(registry))
    registry.faults.append(runner.struck_by(signal.SIGKILL, "PUT", "/team/app/manifests/sha256"))
    assert runner.run(*arguments)[0] == -signal.SIGKILL
    (left,) = (tmp_path / "state" / "work").iterdir()
    os.utime(left, (0, 0))
    assert runner.run(*arguments)[0] == 0
    assert list((tmp_path / "state" / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        pytest.param(lambda **meant: status(500, times=99, **meant), "first manifest", id="server error"),
        pytest.param(
            lambda **meant: status(429, headers={"Retry-After": "0"}, times=99, **meant),
            "first manifest",
            id="too many",
        ),
        pytest.param(lambda **meant: status(413, times=99, **meant), "first blob", id="too large"),
        pytest.param(lambda **meant: status(507, times=99, **meant), "first blob", id="its disk is full"),
        pytest.param(lambda **meant: reset(times=99, **meant), "first blob", id="cut off"),
    ],
)
def test_a_failing_registry_moves_no_tag(
    runner: Runner, registry: FakeRegistry, project: Path, fault: Callable[..., Fault], step: str
) -> None:
    arguments = ("build", PLATFORMS, "--push", repository_at(registry))
    assert runner.run(*arguments)[0] == 0
    before = shipped(registry)
    (project / "file").write_text("changed\n")
    method, path = STEPS[step]
    registry.faults.append(fault(method=method, path=path))
    code, said = runner.run(*arguments)
    registry.faults.clear()
    assert code in (1, 4), said
    assert registry.host in said
    assert "Traceback" not in said
    assert shipped(registry) == before
    code, said = runner.run(*arguments)
    assert code == 0, said
    assert shipped(registry) != before

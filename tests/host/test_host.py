from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from scripts.testhost import context, host, standin_host, state, tools
from scripts.testhost.cli import main
from scripts.testhost.context import Context
from scripts.testhost.decide import Kind
from scripts.testhost.errors import HostError
from scripts.testhost.folders import locate
from scripts.testhost.process import Result


class FakeDocker:
    """A machine's own engine, as far as bringing up a registry needs it; remembers what it was asked."""

    def __init__(self, *, fails: str = "") -> None:
        self.asked: list[str] = []
        self._fails = fails

    def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,  # noqa: ARG002 - the seam's signature
        folder: Path | None = None,  # noqa: ARG002
        timeout: float = 0,  # noqa: ARG002
    ) -> Result:
        command = " ".join(argv)
        self.asked.append(command)
        if self._fails and self._fails in command:
            return Result(code=1, err="no")
        answers = {
            "docker info": '[["driver-type","io.containerd.snapshotter.v1"]]',
            "docker buildx inspect": "Driver: docker\nPlatforms: linux/amd64, linux/arm64\n",
            "docker run": "c0ffee\n",
            "docker port": "127.0.0.1:5000\n",
        }
        return Result(code=0, out=next((out for start, out in answers.items() if command.startswith(start)), ""))


def make_context(root: Path, docker: FakeDocker) -> Context:
    folders = locate({"BUILDONCE_HOST_DIR": str(root)}, Path("/home/someone"))
    return Context(folders=folders, runner=docker, say=lambda _text: None)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.testhost.registry.Client.is_ready", lambda _self: True)


@pytest.mark.usefixtures("answering")
def test_a_machine_with_an_engine_gets_a_registry_and_loses_it_again(tmp_path: Path) -> None:
    docker = FakeDocker()
    root = make_context(tmp_path, docker)
    assert host.up(root) == state.State(kind=Kind.ENGINE, registry="127.0.0.1:5000", container="c0ffee")
    assert any(command.startswith("docker run --detach --publish=127.0.0.1::5000") for command in docker.asked)
    assert sum("buildx build" in command for command in docker.asked) == 2

    docker.asked.clear()
    host.up(root)
    assert docker.asked == []

    assert host.down(root) == ["container c0ffee"]
    assert host.obstacles(root) == ["it is not up"]


@pytest.mark.usefixtures("answering")
def test_an_engine_that_fails_the_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    docker = FakeDocker(fails="buildx build")
    with pytest.raises(HostError, match="cannot build a small image"):
        host.up(make_context(tmp_path, docker))
    assert docker.asked[-1] == "docker rm --force --volumes c0ffee"
    with pytest.raises(HostError, match="not up"):
        host.environment(make_context(tmp_path, docker))


@pytest.mark.usefixtures("answering")
def test_a_run_takes_down_what_it_brought_up(tmp_path: Path) -> None:
    docker = FakeDocker()
    code = host.run(
        make_context(tmp_path, docker), ["sh", "-c", 'test "$BUILDONCE_HOST_REGISTRY" = 127.0.0.1:5000 && exit 7']
    )
    assert code == 7
    assert docker.asked[-1] == "docker rm --force --volumes c0ffee"


@pytest.mark.usefixtures("answering")
def test_a_run_leaves_up_what_was_up(tmp_path: Path) -> None:
    docker = FakeDocker()
    root = make_context(tmp_path, docker)
    host.up(root)
    assert host.run(root, ["true"]) == 0
    assert host.obstacles(root) == []


@pytest.mark.usefixtures("answering")
def test_a_run_leaves_up_what_another_still_uses(tmp_path: Path) -> None:
    root = make_context(tmp_path, FakeDocker())
    with context.in_use(root.folders) as other:
        host.run(root, ["true"])
        assert host.obstacles(root) == []
        assert other.is_last()


def test_a_command_that_a_signal_ended_has_the_shells_exit_code() -> None:
    assert host.run_command([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], {}) == 128 + 9
    assert host.run_command(["/nonexistent/command"], {}) == 127


def test_what_was_interrupted_is_not_taken_for_complete(tmp_path: Path) -> None:
    folders = make_context(tmp_path, FakeDocker()).folders

    def interrupted(folder: Path) -> None:
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        context.complete(folders.tools / "x", interrupted, folders)
    assert not (folders.tools / "x").exists()

    done = context.complete(folders.tools / "x", lambda folder: folder.mkdir(parents=True), folders)
    assert done.is_dir()


def test_a_client_folder_follows_the_engine(tmp_path: Path) -> None:
    for name in ("one", "two", "two"):
        tools.client_folders(tmp_path / name, tmp_path / "client", tmp_path / "config")
        assert (tmp_path / "client" / "docker").readlink() == tmp_path / name / "docker"
    assert (tmp_path / "config" / "cli-plugins" / "docker-buildx").readlink() == tmp_path / "two" / "docker-buildx"


def test_a_host_that_is_not_up_is_an_error_with_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUILDONCE_HOST_DIR", str(tmp_path))
    monkeypatch.setattr("signal.signal", lambda *_arguments: None)
    assert main(["env"]) == 4
    assert capsys.readouterr().err == "error: the test host is not up\nhelp: `scripts/host up` starts it\n"
    assert main(["status"]) == 1


def test_what_earlier_hosts_left_is_made_anew_if_it_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_context(tmp_path, FakeDocker())
    image = root.folders.stand_ins / "recipe" / "blob"
    record = state.State(kind=Kind.STAND_INS, registry="127.0.0.1:5000")
    monkeypatch.setattr(standin_host, "down", lambda _context: [])

    def attempt(_context: Context) -> state.State:
        if image.exists() and image.read_text() == "damaged":
            raise HostError("the local registry refused a stand-in image")
        return record

    monkeypatch.setattr(standin_host, "_up", attempt)
    image.parent.mkdir(parents=True)
    image.write_text("damaged")
    assert standin_host.up(root) == record
    assert not image.exists()


def test_a_new_host_that_fails_is_not_tried_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def attempt(_context: Context) -> state.State:
        tries.append(1)
        raise HostError("no archive answers")

    monkeypatch.setattr(standin_host, "_up", attempt)
    with pytest.raises(HostError, match="no archive"):
        standin_host.up(make_context(tmp_path, FakeDocker()))
    assert tries == [1]

"""buildonce as it is called, in this process, against a registry on loopback; no engine unless a test brings one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildonce.cli.main import guarded
from tests.cli.bases import push_bases
from tests.fakes.registry import FakeRegistry
from tests.verify.releases import LayoutShelf, RegistryShelf


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a call ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Ran]


@pytest.fixture
def new_registry() -> Iterator[Callable[..., FakeRegistry]]:
    """Give what starts registries, which run beside the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    started: list[FakeRegistry] = []

    def start(auth: str = "none", users: Mapping[str, str] | None = None) -> FakeRegistry:
        fake = FakeRegistry(auth=auth, users=users)
        asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result(10)
        started.append(fake)
        return fake

    yield start
    for fake in started:
        asyncio.run_coroutine_threadsafe(fake.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def registry(new_registry: Callable[..., FakeRegistry]) -> FakeRegistry:
    """A registry that has base images: `busybox:1`, for two platforms."""
    fake = new_registry()
    push_bases(fake)
    return fake


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder for a project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(registry: FakeRegistry, tmp_path: Path) -> dict[str, str]:
    """What buildonce finds in its environment: no engine, no user's own settings."""
    (tmp_path / "bin").mkdir()
    return {
        "HOME": str(tmp_path / "home"),
        "PATH": str(tmp_path / "bin"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "BUILDONCE_STATE": str(tmp_path / "state"),
        "BUILDONCE_MIRRORS": f"docker.io={registry.url}",
        "CI": "1",
    }


@pytest.fixture
def call(
    project: Path,
    environment: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Return what runs buildonce in the project's folder; every failure is one that a user can read."""
    monkeypatch.chdir(project)
    for name in ("DOCKER_HOST", "SOURCE_DATE_EPOCH", "XDG_CACHE_HOME", "BUILDONCE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = guarded(list(arguments))
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        is_report = (arguments[0], code) in {("verify", 1), ("doctor", 4), ("ci", 1)}
        assert code == 0 or is_report or not said.out, "what failed has nothing to say on the standard output stream"
        return Ran(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture
def layout(tmp_path: Path) -> LayoutShelf:
    """An empty layout."""
    return LayoutShelf(tmp_path / "layout")


@pytest.fixture
def repository(registry: FakeRegistry) -> RegistryShelf:
    """An empty repository."""
    return RegistryShelf(registry)

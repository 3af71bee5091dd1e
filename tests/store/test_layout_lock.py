"""One process at a time changes a layout's index, where there are locks and where there are none."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from buildonce.errors import StoreError
from buildonce.oci import OCI_MANIFEST, digest_of
from buildonce.store import layout_lock
from buildonce.store.layout import LayoutStore
from buildonce.store.layout_lock import locked
from buildonce.tasks import together
from tests.fakes.sessions import image

WITHOUT_LOCKS = """
import errno, fcntl, os
def refusing(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = refusing
"""
TAGGING = """
import asyncio, sys
from pathlib import Path
from buildonce.store.layout import LayoutStore
async def main():
    store = LayoutStore(Path(sys.argv[1]))
    for number in range(10):
        await store.set_tags({f"{sys.argv[3]}-{number}": sys.argv[2]})
asyncio.run(main())
"""
HOLDING = """
import sys, threading, time
from pathlib import Path
from buildonce.store.layout_lock import locked
with locked(Path(sys.argv[1]), threading.Event()):
    print("held", flush=True)
    time.sleep(60)
"""
NEVER = threading.Event()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on a file system that has no `flock`."""

    def refusing(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refusing)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_lock, "_TIMEOUT", 0.05)


async def filled(folder: Path) -> str:
    """Put an image into a layout; return its digest."""
    store = LayoutStore(folder)
    one = image()
    await together(store.put_blob(blob) for blob in one.blobs)
    await store.put_manifest(one.content, OCI_MANIFEST)
    return digest_of(one.content)


@pytest.mark.parametrize("preparing", ["", WITHOUT_LOCKS], ids=["flock", "lock file"])
async def test_processes_at_once_lose_no_tag(tmp_path: Path, preparing: str) -> None:
    digest = await filled(tmp_path / "layout")
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", preparing + TAGGING, str(tmp_path / "layout"), digest, str(number)
        )
        for number in range(3)
    ]
    while any(process.returncode is None for process in running):
        await LayoutStore(tmp_path / "layout").tags()
        await asyncio.sleep(0.005)
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(await LayoutStore(tmp_path / "layout").tags()) == 30
    assert names(tmp_path / "layout") == {"oci-layout", "index.json", "blobs", ".index.lock"}


@pytest.mark.parametrize("preparing", ["", WITHOUT_LOCKS], ids=["flock", "lock file"])
async def test_the_lock_of_a_killed_process_is_free(
    tmp_path: Path, preparing: str, request: pytest.FixtureRequest
) -> None:
    if preparing:
        request.getfixturevalue("no_locks")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", preparing + HOLDING, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert (tmp_path / ".index.owner").exists() is bool(preparing)
    with locked(tmp_path, NEVER):
        pass
    assert names(tmp_path) == {".index.lock"}


@pytest.mark.usefixtures("no_locks", "impatient")
def test_a_lock_file_s_living_owner_is_named(tmp_path: Path) -> None:
    with (
        locked(tmp_path, NEVER),
        pytest.raises(StoreError) as caught,
        locked(tmp_path, NEVER),
    ):
        pass
    assert f"is being changed by process {os.getpid()} on {platform.node()}" in str(caught.value)
    assert f"remove {tmp_path / '.index.owner'}" in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_is_held_for_too_long_is_an_error(tmp_path: Path) -> None:
    with (
        locked(tmp_path, NEVER),
        pytest.raises(StoreError, match="is being changed by another process"),
        locked(tmp_path, NEVER),
    ):
        pass


@pytest.mark.usefixtures("no_locks", "impatient")
@pytest.mark.parametrize("content", [b"", b'{"pid": 1, "host": "elsewhere", "space": "elsewhere 1 2"}'])
def test_a_lock_file_from_elsewhere_is_left_until_it_is_old(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ".index.owner"
    path.write_bytes(content)
    with (
        pytest.raises(StoreError, match="process 1 on elsewhere" if content else "another process"),
        locked(tmp_path, NEVER),
    ):
        pass
    assert path.read_bytes() == content
    os.utime(path, (time.time() - 601,) * 2)
    with locked(tmp_path, NEVER):
        assert msgspec.json.decode(path.read_bytes())["pid"] == os.getpid()
    assert names(tmp_path) == {".index.lock"}


@pytest.mark.usefixtures("no_locks")
def test_a_lock_file_needs_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refusing)
    with locked(tmp_path, NEVER):
        assert (tmp_path / ".index.owner").exists()
    assert names(tmp_path) == {".index.lock"}


def test_another_failure_to_lock_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", failing)
    with pytest.raises(StoreError, match="cannot lock"), locked(tmp_path, NEVER):
        pass

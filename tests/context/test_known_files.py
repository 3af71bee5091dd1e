from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildonce.context import (
    Memory,
    Words,
    digest_selection,
    keeping,
    known_files,
    known_selections,
    open_context,
    scanning,
    select,
    trust,
)
from buildonce.context.identity import identify
from buildonce.context.scanning import SIZE
from buildonce.context.trust import find_mount
from buildonce.errors import ContextError

ALL = Words(sources=(".",))
REAL_MARGIN = trust.MARGIN
TICK = 0.03
OPERATIONS = ("write", "rename", "chmod", "utime", "hardlink", "truncate", "copy_over", "mapped", "remove", "wait")


@pytest.fixture(autouse=True)
def short_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system of these tests ticks at least every 10 ms; with the real margin they would take hours."""
    monkeypatch.setattr(trust, "MARGIN", 15_000_000)


@pytest.fixture(params=[0, 1000], ids=["selections", "files"])
def either_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of a remembered selection is not asked of remembered files, so both are tried."""
    monkeypatch.setattr(known_selections, "_FEW", request.param)


def known_in(folder: Path, root: Path) -> Memory:
    return Memory(root, folder / "memory")


def root_in(folder: Path) -> Path:
    root = folder / "context"
    root.mkdir(exist_ok=True)
    return root


def digest(root: Path, memory: Memory | None = None) -> str:
    return digest_selection(open_context(root, None), ALL, memory or Memory(root))[0]


def settle() -> None:
    time.sleep(TICK)


def remembered(folder: Path, root: Path) -> int:
    """Return how many of the files below ``root`` a new process knows."""
    known = known_in(folder, root).files
    return sum(known.find(known_files_identity(path)) is not None for path in sorted(root.iterdir()))


def known_files_identity(path: Path) -> bytes:
    return identify(path.lstat())


@pytest.mark.usefixtures("either_memory")
def test_what_was_read_is_known_to_the_next_run(tmp_path: Path) -> None:
    root = root_in(tmp_path)
    (root / "a").write_text("x")
    settle()
    first = digest(root, known_in(tmp_path, root))
    assert remembered(tmp_path, root) == 1
    assert digest(root, known_in(tmp_path, root)) == first == digest(root)


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "MARGIN", 2_000_000_000)
    root = root_in(tmp_path)
    (root / "a").write_text("x")
    digest(root, known_in(tmp_path, root))
    assert remembered(tmp_path, root) == 0


@pytest.mark.usefixtures("either_memory")
def test_a_file_rewritten_at_once_with_its_old_size_and_time_is_seen(tmp_path: Path) -> None:
    root = root_in(tmp_path)
    file = root / "a"
    for number in range(200):
        file.write_text(f"{number:05}")
        state = file.stat()
        before = digest(root, known_in(tmp_path, root))
        file.write_text(f"{number + 1:05}")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert digest(root, known_in(tmp_path, root)) == digest(root) != before


@pytest.mark.usefixtures("either_memory")
def test_a_clock_that_ticks_every_second_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels since 6.13 tell changes apart that others do not, so the coarse clock is made here."""
    monkeypatch.setattr(trust, "MARGIN", REAL_MARGIN)
    monkeypatch.setattr(scanning, "fields_of", coarse_fields)
    root = root_in(tmp_path)
    for number in range(20):
        (root / "a").write_text(f"{number:05}")
        os.utime(root / "a", (1, 1))
        assert digest(root, known_in(tmp_path, root)) == digest(root)


def coarse_fields(state: os.stat_result) -> tuple[int, ...]:
    """Return the fields of a state with a time of change in whole seconds."""
    changed = state.st_ctime_ns // 10**9 * 10**9
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, changed, state.st_mode, state.st_nlink)


@pytest.mark.usefixtures("either_memory")
def test_a_file_that_is_mapped_for_writing_is_not_remembered(tmp_path: Path) -> None:
    root = root_in(tmp_path)
    (root / "a").write_bytes(b"x" * 100)
    with (root / "a").open("r+b") as file, mmap.mmap(file.fileno(), 100) as mapped:
        file.close()
        mapped[0] = 1
        settle()
        before = digest(root, known_in(tmp_path, root))
        mapped[0] = 2  # the page is already dirty: no time changes
        assert digest(root, known_in(tmp_path, root)) == digest(root) != before


@pytest.mark.parametrize("change", ["truncate", "flip", "empty", "writable", "link", "boot", "clock"])
def test_a_memory_that_cannot_be_trusted_is_read_as_none(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_in(tmp_path)
    (root / "a").write_text("x")
    settle()
    expected = digest(root, known_in(tmp_path, root))
    (path,) = (tmp_path / "memory").glob("*.files")
    for other_path in (tmp_path / "memory").glob("*.selection"):
        other_path.unlink()
    content = path.read_bytes()
    era = trust.read_era()
    assert era is not None
    match change:
        case "truncate":
            path.write_bytes(content[: -SIZE - 32])
        case "flip":
            path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
        case "empty":
            path.write_bytes(b"")
        case "writable":
            path.chmod(0o666)
        case "link":
            path.replace(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
        case "boot":
            other = trust.Era(boot=b"0" * 36, offset=era.offset)
            monkeypatch.setattr(trust, "read_era", lambda: other)
        case _:
            later = trust.Era(boot=era.boot, offset=era.offset - 3_600_000_000_000)
            monkeypatch.setattr(trust, "read_era", lambda: later)
    assert remembered(tmp_path, root) == 0
    assert digest(root, known_in(tmp_path, root)) == expected
    assert remembered(tmp_path, root) == 1  # and it is made anew


def test_the_memory_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = root_in(tmp_path)
    (root / "a").write_text("x")
    settle()
    digest(root, known_in(tmp_path, root))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert remembered(tmp_path, root) == 0


def test_records_of_files_that_are_gone_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_files, "_FEW_RECORDS", 3)
    root = root_in(tmp_path)
    for number in range(8):
        (root / "a").write_text(str(number))
        settle()
        digest(root, known_in(tmp_path, root))
    (path,) = (tmp_path / "memory").glob("*.files")
    assert path.stat().st_size < 3 * (SIZE + 32) + 120


def test_old_memories_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_MOST_FILES", 2)
    root = root_in(tmp_path)
    (root / "a").write_text("x")
    (tmp_path / "memory").mkdir()
    for name in ("old.files", "older.partial"):
        (tmp_path / "memory" / name).write_text("")
        os.utime(tmp_path / "memory" / name, (1 if "er" in name else 2,) * 2)
    settle()
    digest(root, known_in(tmp_path, root))
    assert not (tmp_path / "memory/older.partial").exists()
    assert (tmp_path / "memory/old.files").exists()


@pytest.mark.usefixtures("either_memory")
def test_a_memory_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    root = root_in(tmp_path)
    (root / "a").write_text("x")
    (tmp_path / "memory").write_text("a file where a folder should be")
    settle()
    assert digest(root, known_in(tmp_path, root)) == digest(root)


def test_the_file_system_of_a_folder_is_found() -> None:
    mounts = b"1 0 254:0 / / rw - ext4 /dev/a rw\n2 1 0:5 / /mnt/a\\040b rw,x shared:1 - nfs4 server:/ rw\n"
    assert find_mount(mounts, b"/mnt/a b/c") == ("nfs4", "0:5")
    assert find_mount(mounts, b"/mnt/a bc") == ("ext4", "254:0")


@pytest.fixture
def deep_path(tmp_path: Path) -> Iterator[Path]:
    """A folder whose content is removed by a program that is not stopped by its depth."""
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path / "context")], check=True)


def test_a_very_deep_context(deep_path: Path) -> None:
    root = root_in(deep_path)
    path = root
    for _ in range(1500):
        path = path / "d"
        os.mkdir(path)  # noqa: PTH102 - Path.mkdir is slow here
    (path / "x").write_text("x")
    selected = select(open_context(root, None), Words(sources=(".",), exclude=("*.md",)))
    assert (len(selected), selected[-1].path) == (1502, "d/" * 1500 + "x")


def test_a_context_deeper_than_the_system_can_open_is_refused(deep_path: Path) -> None:
    root = root_in(deep_path)
    before = Path.cwd()
    os.chdir(root)
    try:
        for _ in range(30):
            os.mkdir("d" * 200)  # noqa: PTH102
            os.chdir("d" * 200)
    finally:
        os.chdir(before)
    with pytest.raises(ContextError, match="name too long"):
        select(open_context(root, None), ALL)


@pytest.mark.usefixtures("either_memory")
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), *[st.integers(0, 3)] * 3), min_size=1, max_size=25))
def test_what_is_remembered_never_differs_from_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("random")
    root = root_in(folder)
    for number in range(4):
        (root / f"f{number}").write_text(f"content {number}")
    settle()
    digest(root, known_in(folder, root))
    for name, *numbers in operations:
        change(root, name, *numbers)
        assert digest(root, known_in(folder, root)) == digest(root), name


def change(root: Path, name: str, one: int, other: int, value: int) -> None:
    """Change a file in a way that leaves as much as possible as it was."""
    file, second = root / f"f{one}", root / f"f{other}"
    if name == "wait":
        settle()
    if not file.exists():
        file.write_text(f"content {value}")
        return
    state = file.stat()
    match name:
        case "write":
            file.write_text(f"content {value}")
            os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        case "rename":
            file.rename(second)
        case "chmod":
            file.chmod(0o600 + 0o11 * value)
        case "utime":
            os.utime(file, (value, value))
        case "hardlink" if one != other:
            second.unlink(missing_ok=True)
            os.link(file, second)
        case "truncate":
            os.truncate(file, value)
        case "copy_over" if second.exists() and one != other:
            content, kept = second.read_bytes(), second.stat()
            file.write_bytes(content)
            os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        case "mapped" if state.st_size:
            with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
                mapped[0] = 65 + value
        case "remove":
            file.unlink()

"""All kinds tried one after another in a process that may take little memory, and says which files it wrote.

`python -m tests.hostile.trial FOLDER` prints a line of JSON for each: its name, how it ended, what was said, the paths
that were read, the seconds and the memory that it took, and what was written outside of its own folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from buildonce.assemble import limits
from buildonce.assemble.tree import Tree
from buildonce.cli.main import guarded
from buildonce.engines.buildx import written_manifest
from buildonce.engines.protocol import Built, Exported
from buildonce.errors import Error
from buildonce.oci import decode_manifest
from buildonce.run.built import read_built_core, read_exported_core
from buildonce.run.layers import LayerReader, stack_layers
from buildonce.store.layout import LayoutStore
from tests.hostile.kinds import BASE, EXPORT, KINDS, Kind

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_STARTS = {"subprocess.Popen", "os.exec", "os.system", "os.posix_spawn"}
_MEMORY, _EXPANDED, _LOOKUPS = 8 << 20, 16 << 20, 50_000
"""Limits that are reached sooner, so that trying all takes seconds."""

_MORE = 512 << 20
"""How many bytes of address space the trials may take beyond what the program itself takes, threads included."""


class Watch:
    """What this process writes, and where; what it starts."""

    def __init__(self) -> None:
        self.own = ""
        self.elsewhere: list[str] = []
        sys.addaudithook(self.see)

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.own:
            return
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            self.note(event, arguments[0])
        elif event in _CHANGES:
            for argument in arguments[:2]:
                self.note(event, argument)
        elif event in _STARTS:
            self.elsewhere.append(f"{event} {arguments}")

    def note(self, event: str, path: object) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            text = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))  # noqa: PTH109, PTH118
            if text != "/dev/null" and not f"{text}/".startswith(f"{self.own}/"):
                self.elsewhere.append(f"{event} {text}")


@contextlib.contextmanager
def _working_in(folder: Path, watch: Watch) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    watch.own = str(folder)
    try:
        yield
    finally:
        watch.own = ""
        os.chdir(before)


def try_kind(kind: Kind, folder: Path) -> tuple[str, list[str]]:
    """Return what is said of it, nothing if it is accepted; and the paths that are then known."""
    if kind.entry == BASE:
        return _try_base(folder)
    try:
        if kind.entry == EXPORT:
            return "", _paths(read_exported_core(Exported(archive=folder / "made" / "files.tar", seconds=0)))
        made = folder / "made"
        built = Built(layout=made, manifest=written_manifest(made, "core"), seconds=0)
        return "", _paths(asyncio.run(read_built_core(built)))
    except Error as error:
        return str(error), []


def _try_base(folder: Path) -> tuple[str, list[str]]:
    (folder / "Dockerfile").write_text("FROM base AS app\nCOPY app /usr/local/bin/app\n")
    (folder / "app").write_text("app")
    address = f"oci-layout://{folder / 'made'}:latest"
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = guarded(["build", "--platform=linux/amd64", f"--build-context=base={address}", "--output=oci:images"])
    if code:
        return f"exit {code}: {said.getvalue()}", []
    return "", _paths(asyncio.run(read_layout(folder / "made")))


async def read_layout(folder: Path) -> Tree:
    """Return the file system of the image in a layout."""
    layout = LayoutStore(folder)
    stored = await layout.get_manifest("latest")
    assert stored
    manifest = decode_manifest(stored.content)
    config = b"".join([chunk async for chunk in layout.read_blob(manifest.config)])
    return await LayerReader().tree(stack_layers(layout, manifest.layers, config))


def _paths(tree: Tree) -> list[str]:
    return sorted(tree)


def _write_all(kinds: Sequence[Kind], root: Path) -> None:
    """Write every kind in a process of its own, whose memory does not count."""
    child = os.fork()
    if not child:
        for number, kind in enumerate(kinds):
            (root / f"{number}").mkdir()
            kind.write(root / f"{number}" / "made")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def _peak() -> int:
    """Return the most memory that this program took, in MiB; what its parent took before does not count."""
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) >> 10


def main() -> None:
    """Try all kinds."""
    root = Path(sys.argv[1]).resolve()
    chosen = [kind for kind in KINDS if len(sys.argv) < 3 or sys.argv[2] in kind.id]
    _write_all(chosen, root)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _MORE, size + _MORE))
    os.environ.update(HOME=str(root), PATH=str(root), CI="1")
    limits.MEMORY, limits.EXPANDED, limits.LOOKUPS = _MEMORY, _EXPANDED, _LOOKUPS
    watch = Watch()
    for number, kind in enumerate(chosen):
        folder = root / f"{number}"
        os.environ["BUILDONCE_STATE"] = str(folder / "state")
        os.environ["TMPDIR"] = str(folder)
        started = time.process_time()
        with _working_in(folder, watch):
            said, paths = try_kind(kind, folder)
        elsewhere, watch.elsewhere = watch.elsewhere, []
        result = {
            "kind": kind.id,
            "said": said,
            "paths": paths,
            "seconds": time.process_time() - started,
            "memory": _peak(),
            "elsewhere": elsewhere,
            "shipped": (folder / "images" / "index.json").exists(),
        }
        sys.stdout.write(f"{json.dumps(result)}\n")


if __name__ == "__main__":
    main()

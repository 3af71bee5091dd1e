"""[io] Scripts of the project that a RUN runs, and those that they run: what they name is as good as named there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct

from buildonce.assemble.archive import Want, scan_layer
from buildonce.assemble.entries import EntryType
from buildonce.assemble.tree import Tree, apply_layers, resolve
from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.syntax import Run
from buildonce.errors import AssemblyError
from buildonce.oci import OCI_LAYER
from buildonce.plan.commands import SHELLS, UNKNOWN, Command, read_commands, read_script
from buildonce.plan.tails import named_in
from buildonce.run.base_records import ReadyBase, base_stack
from buildonce.run.layers import LayerReader
from buildonce.store.feeding import read_in_thread

_LARGEST = 256 * 1024
_MOST = 40
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_RUNS_OTHERS = re.compile(
    r"\.|source|\w*sh|env|sudo|su|su-exec|gosu|setpriv|chroot|xargs|nice|timeout|run-parts|tini|dumb-init"
    r"|python[\d.]*|perl[\d.]*|node|ruby|php\d*|awk|make"
)
_SHEBANG = re.compile(r"#!\s*(?:\S*/env\s+(?:-S\s+)?)?(\S+)")


class Named(Struct, frozen=True, kw_only=True):
    """A word in a script that names what is looked for."""

    script: str
    word: str


@dataclass(slots=True, kw_only=True)
class Scripts:
    """The files of a base that the Dockerfile's own instructions made; those of its external image know no project."""

    base: ReadyBase
    reader: LayerReader
    _tree: Tree = field(default_factory=Tree)
    _places: dict[str, int] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)

    async def naming(self, steps: Iterable[Step], paths: frozenset[str], programs: frozenset[str]) -> Named | None:
        """Return where a script that these instructions run names one of ``paths`` or ``programs``; None if none does.

        Scripts of other languages than the shell's are looked at for paths alone.
        """
        await self._look()
        for step in steps:
            if isinstance(step.expanded, Run):
                found = await self._follow(step, paths, programs)
                if found is not None:
                    return found
        return None

    async def _look(self) -> None:
        layers = [layer.entries for layer in await self.reader.read(base_stack(self.base))]
        self._tree = apply_layers(layers)
        external = self.base.node.external
        first = len(external.manifest.layers) if external else 0
        for number, entries in enumerate(layers[first:], first):
            self._places |= {entry.path: number for entry in entries if entry.type is EntryType.FILE}

    async def _follow(self, step: Step, paths: frozenset[str], programs: frozenset[str]) -> Named | None:
        seen: set[str] = set()
        commands = list(read_commands(step))
        while commands and len(seen) < _MOST:
            wanted = sorted({path for one in commands for path in self._files(one, step.env)} - seen)
            seen |= set(wanted)
            commands = []
            for path, text in (await self._read(wanted)).items():
                shell = _SHEBANG.match(text)
                is_shell = shell is None or posixpath.basename(shell[1]) in SHELLS
                read = read_script(_COMMENT.sub("", text), step.env, step.workdir)
                word = named_in(read, paths, programs if is_shell else frozenset())
                if word is not None:
                    return Named(script=f"/{path}", word=word)
                commands += read
        return None

    def _files(self, command: Command, env: Mapping[str, str]) -> Iterator[str]:
        """Yield the files among those that the Dockerfile made which a command runs, or has another program run."""
        words = command.words if _RUNS_OTHERS.fullmatch(command.program) else command.words[:1]
        meant = [path for word in words for path in command.paths(word)]
        folders = env.get("PATH", "").split(":") if "/" not in command.words[0] else []
        for path in (*meant, *(posixpath.join(folder, command.words[0]) for folder in folders)):
            if UNKNOWN in path or not path.startswith("/"):
                continue
            try:
                real = resolve(self._tree, path)
            except AssemblyError:
                continue
            entry = self._tree.get(real)
            if entry is not None and entry.type is EntryType.FILE and entry.size <= _LARGEST and real in self._places:
                yield real

    async def _read(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Return the texts of those of ``paths`` that are texts."""
        by_layer: dict[int, set[str]] = {}
        for path in paths:
            by_layer.setdefault(self._places[path], set()).add(path)
        found: dict[str, str] = {}
        stack = base_stack(self.base)
        for number, wanted in sorted(by_layer.items()):
            descriptor = stack.layers[number]
            scan = partial(
                scan_layer,
                want=Want(keep=wanted.__contains__, digest=False),
                is_plain=descriptor.media_type == OCI_LAYER,
            )
            layer = await read_in_thread(self.base.source.read_blob(descriptor), scan)
            for entry in layer.entries:
                content = layer.kept.get(entry.digest) if entry.digest and entry.path in wanted else None
                if content and b"\0" not in content:
                    found[entry.path] = content.decode("utf-8", "surrogateescape")
        return found

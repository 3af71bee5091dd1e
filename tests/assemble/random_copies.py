"""Random trees and random lines of Dockerfiles on them: names that clash, links that lead astray, odd modes, owners.

The same seed gives the same. Paths are few, so that what is copied often meets what is there.
"""

from __future__ import annotations

import json
import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.assemble.archives import CAPABILITY, CAPABILITY_V3, make_tar, member

_NAMES = ("a", "b", "c", "d.txt", "e.md", "lib", "x y", "caf\u00e9", "\udcff", "[q]", "-", ".hidden", "A" * 60)
_FILE_MODES = (0o644, 0o755, 0o600, 0o000, 0o4755, 0o2711, 0o7777, 0o640)
_FOLDER_MODES = (0o755, 0o755, 0o755, 0o700, 0o711, 0o1777, 0o2775, 0o000, 0o7777)
_OWNERS = ((0, 0), (0, 0), (0, 0), (1, 2), (1001, 1002), (3_000_000, 7))
_TIMES = (1_500_000_000, 1_500_000_000, 1_600_000_000, 0, 8_600_000_000)
_CONTENTS = (b"", b"one", b"two", b"one more", b"x" * 1500)
_KINDS = "dddffffffsssshhpvcC"
_TARGETS = (".", "..", "/", "nowhere", "/no/where", "../../..", "a", "b/c", "/a/b", "lib/../a", "self")
_CHOWNS = ("app", "app:staff", "5", "6:7", ":staff", "nobody", "root", "1001:app", "0:0", "staff:staff")
_CHMODS = ("0755", "700", "4711", "0", "1750", "5", "u+x", "go-rwx", "a=rX", "u=rwX,go=", "g=u-w", "+t", "ug-s", "o=")
_EXCLUDES = ("a", "*.txt", "**/b", "lib", "a/*", "!a/b", "**", "*/c", ".*", "x y", "**/*.md", "caf\u00e9", "[q]", "b/")
_USERS = ("app", "app:staff", "12", "13:14", "nobody", "root", ":staff", "0")


@dataclass(slots=True)
class Members:
    """A tree in the making: its members in their order, and what each path is.

    ``links`` says that it may get hard links, which lead to what is in the same layer.
    """

    rng: random.Random
    links: bool = True
    kinds: dict[str, str] = field(default_factory=lambda: {"": "d"})
    members: dict[str, tuple[tarfile.TarInfo, bytes]] = field(default_factory=dict)

    def add(self) -> str:
        """Add something somewhere, and return where."""
        rng = self.rng
        folder = rng.choice([path for path, kind in self.kinds.items() if kind == "d" and path.count("/") < 4])
        path = f"{folder}/{rng.choice(_NAMES)}".lstrip("/")
        if path in self.kinds:
            return path
        kind = rng.choice(_KINDS if self.links else _KINDS.replace("h", "f"))
        files = [one for one, other in self.kinds.items() if other == "f"]
        self.kinds[path] = {"h": "f" if files else "d", "v": "f", "p": "o", "c": "o", "C": "f"}.get(kind, kind)
        self.members[path] = self.member(path, "d" if kind == "h" and not files else kind, files)
        return path

    def member(self, path: str, kind: str, files: Sequence[str]) -> tuple[tarfile.TarInfo, bytes]:
        rng = self.rng
        owner, mtime = rng.choice(_OWNERS), rng.choice(_TIMES)
        if kind == "d":
            return member(path, tarfile.DIRTYPE, mode=rng.choice(_FOLDER_MODES), owner=owner, mtime=mtime)
        if kind == "s":
            target = rng.choice(
                (*_TARGETS[1:], f"/{rng.choice(list(self.kinds))}", rng.choice(list(self.kinds)) or ".")
            )
            return member(path, tarfile.SYMTYPE, mode=0o777, owner=owner, mtime=mtime, link=target)
        if kind == "h":
            first = self.members[rng.choice(files)][0]
            while first.type == tarfile.LNKTYPE:
                first = self.members[first.linkname][0]
            info, _ = member(path, tarfile.LNKTYPE, mode=first.mode, link=first.name, mtime=int(first.mtime))
            info.uid, info.gid, info.pax_headers = first.uid, first.gid, dict(first.pax_headers)
            return info, b""
        mode = rng.choice(_FILE_MODES)
        if kind == "p":
            return member(path, tarfile.FIFOTYPE, mode=mode, owner=owner, mtime=mtime)
        if kind == "c":
            return member(
                path, tarfile.CHRTYPE, mode=mode, owner=owner, mtime=mtime, device=(1, rng.choice((3, 5, 300)))
            )
        capability = {"C": CAPABILITY, "v": CAPABILITY_V3}.get(kind)
        content = rng.choice(_CONTENTS)
        return member(path, mode=mode, owner=owner, mtime=mtime, content=content, capability=capability)

    def is_link(self, path: str) -> bool:
        """Say whether a path is a further name of a file; a layer that names it must hold that file too."""
        return self.members[path][0].type == tarfile.LNKTYPE

    def around(self, paths: set[str]) -> set[str]:
        """Return paths and all that lead to them, which a layer names so that their times are known."""
        return {path[:end] for path in paths for end in (*(i for i, one in enumerate(path) if one == "/"), len(path))}


def random_layers(rng: random.Random, size: int, layers: int) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Return the archives of an image's layers, and the paths that are in it, those that can be written down."""
    tree = Members(rng)
    archives = []
    users = (
        member("etc", tarfile.DIRTYPE, mode=0o755, mtime=_TIMES[0]),
        member("etc/passwd", content=b"root:x:0:0::/:\napp:x:1001:1002::/:\n", mtime=_TIMES[0]),
        member("etc/group", content=b"root:x:0:\nstaff:x:50:\napp:x:1002:\n", mtime=_TIMES[0]),
    )
    for number in range(layers):
        gone = _remove(tree, rng) if number else set()
        tree.links = not number
        new = {tree.add() for _ in range(size // layers)}
        named = tree.around(new | gone)
        named |= tree.around(
            {tree.members[path][0].linkname for path in named & tree.members.keys() if tree.is_link(path)}
        )
        kept = [tree.members[path] for path in tree.members if path in named]
        hidden = [member(_whiteout(path), mtime=0) for path in sorted(gone - new)]
        archives.append(make_tar((*(users if not number else ()), *hidden, *kept)))
    paths = tuple(path for path in tree.kinds if path.isascii() or "\udcff" not in path)
    return tuple(archives), paths


def _whiteout(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.wh.{name}"


def _remove(tree: Members, rng: random.Random) -> set[str]:
    """Remove something that no hard link needs, and all below it; return what a layer must hide."""
    linked = {info.linkname for info, _ in tree.members.values() if info.type == tarfile.LNKTYPE}
    path = rng.choice(list(tree.members))
    below = {one for one in tree.members if one == path or one.startswith(f"{path}/")}
    if below & linked:
        return set()
    for one in below:
        del tree.members[one], tree.kinds[one]
    return {path}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Makes lines that copy from the stages ``src`` and ``base``, on a base.

    With ``newer``, the engine has --parents, and does not fail for what --exclude leaves out.

    ``folders`` are those of the base; most lines go to one of them, since what goes below a file is only refused.
    """

    rng: random.Random
    base: Sequence[str]
    folders: Sequence[str]
    source: Sequence[str]
    newer: bool

    def lines(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield self.line()

    def line(self) -> str:
        draw = self.rng.random()
        if draw < 0.1:
            return f"WORKDIR {self.destination()}"
        if draw < 0.15:
            return f"USER {self.rng.choice(_USERS)}"
        stage, paths = ("base", self.base) if self.rng.random() < 0.1 else ("src", self.source)
        count = self.rng.choice((1, 1, 1, 1, 2, 3))
        words = [self.word(paths) for _ in range(count)]
        flags = " ".join((f"--from={stage}", *self.flags()))
        return f"COPY {flags} {json.dumps([*words, self.destination()], ensure_ascii=False)}"

    def flags(self) -> Iterator[str]:
        rng = self.rng
        if rng.random() < 0.25:
            yield f"--chown={rng.choice(_CHOWNS)}"
        if rng.random() < 0.25:
            yield f"--chmod={rng.choice(_CHMODS)}"
        if rng.random() < 0.15:
            yield "--link"
        if self.newer and rng.random() < 0.2:
            yield "--parents"
        for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 2)) if self.newer else 0):
            yield f"--exclude='{rng.choice(_EXCLUDES)}'"

    def word(self, paths: Sequence[str]) -> str:
        """Return a source, perhaps with wildcards; one in many is not there."""
        rng = self.rng
        parts = rng.choice(paths).split("/")
        draw = rng.random()
        if draw < 0.3:
            index = len(parts) - 1 - rng.choice((0, 0, rng.randrange(len(parts))))
            parts[index] = rng.choice(("*", "?", "[a-c]*", "[^a]", f"{parts[index][:1]}*", "*.txt", "**"))
        elif draw < 0.32:
            parts.append(rng.choice(_NAMES[:6]))
        elif draw < 0.35:
            parts.append("..")
        return rng.choice(("/", "/", "", "/./")) + "/".join(parts) + rng.choice(("", "", "/"))

    def destination(self) -> str:
        rng = self.rng
        if rng.random() < 0.1:
            path = rng.choice(self.base)
        else:
            path = rng.choice(("", *self.folders, *self.folders))
            for _ in range(rng.choice((0, 1, 1, 2))):
                path += f"/{rng.choice(('a', 'b', 'c', 'new', 'x', 'y', 'z', '..', 'lib', 'd.txt'))}"
        return (rng.choice(("/", "/", "/", "")) + path.lstrip("/") or ".") + rng.choice(("", "", "/", "/."))

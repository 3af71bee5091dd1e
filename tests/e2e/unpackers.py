"""[io] What other tools make of an image in a registry: the file system that each of them unpacks, but for times."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.e2e.harness import Host
from tests.e2e.tools import find_tool

_KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}
_OF_CONTAINERS = ("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv")
"""What an engine puts into a container, whatever its image."""


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One name in a file system; ``names`` are all those of the same file."""

    kind: str
    mode: int
    owner: tuple[int, int]
    content: str
    xattrs: tuple[tuple[str, str], ...]
    names: tuple[str, ...]


Unpacked = Mapping[str, Found]


def by_docker(host: Host, reference: str, *options: str) -> Unpacked:
    """Return what an engine of Docker's unpacks of an image for amd64; ``options`` lead to the engine."""
    docker = ("docker", *options)
    host.demand(*docker, "pull", "--quiet", "--platform=linux/amd64", reference)
    container = host.demand(*docker, "create", "--platform=linux/amd64", reference, "none").strip()
    try:
        command = [*docker, "export", container]
        with subprocess.Popen(command, env=dict(host.environment), stdout=subprocess.PIPE) as exported:
            assert exported.stdout is not None
            found = _read_archive(exported.stdout)
        assert exported.returncode == 0
        return found
    finally:
        host.demand(*docker, "rm", "--force", container)
        host.demand(*docker, "image", "rm", "--force", reference)


def by_buildah(host: Host, reference: str, folder: Path) -> Unpacked:
    """Return what Buildah unpacks of an image, with a storage of its own in ``folder``."""
    (folder / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    storage = (f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs")
    buildah = (*find_tool("buildah"), *storage)
    (folder / "auth.json").write_text("{}")
    files = (f"--signature-policy={folder}/policy.json", f"--authfile={folder}/auth.json")
    options = ("--quiet", "--tls-verify=false", "--arch=amd64", *files)
    container = host.demand(*buildah, "from", *options, f"docker://{reference}").strip()
    try:
        return _read_folder(Path(host.demand(*buildah, "mount", container).strip()))
    finally:
        host.demand(*buildah, "umount", container)
        host.demand(*buildah, "rm", container)


def _read_archive(stream: IO[bytes]) -> Unpacked:
    """Read an exported file system."""
    found: dict[str, Found] = {}
    names: dict[str, list[str]] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = member.name.strip("/")
            if _is_of_container(path):
                continue
            if member.islnk():
                names[member.linkname.strip("/")].append(path)
                continue
            names[path] = [path]
            content = member.linkname
            if member.isreg():
                file = archive.extractfile(member)
                assert file is not None
                content = hashlib.sha256(file.read()).hexdigest()
            kinds = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "pipe"}
            prefix = "SCHILY.xattr."
            xattrs = ((k.removeprefix(prefix), v) for k, v in member.pax_headers.items() if k.startswith(prefix))
            found[path] = Found(
                kind=kinds.get(member.type, "file"),
                mode=0 if member.issym() else member.mode,
                owner=(member.uid, member.gid),
                content=content,
                xattrs=tuple(sorted(xattrs)),
                names=(),
            )
    return _with_names(found, names)


def _read_folder(root: Path) -> Unpacked:
    """Read an unpacked file system."""
    found: dict[str, Found] = {}
    same: dict[tuple[int, int], list[str]] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            short = str(path.relative_to(root))
            facts = path.lstat()
            kind = _KINDS[stat.S_IFMT(facts.st_mode)]
            if _is_of_container(short):
                continue
            if kind != "directory":
                same.setdefault((facts.st_dev, facts.st_ino), []).append(short)
            content = str(path.readlink()) if kind == "link" else ""
            if kind == "file":
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            with suppress(OSError):
                xattrs = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path)}
            found[short] = Found(
                kind=kind,
                mode=0 if kind == "link" else stat.S_IMODE(facts.st_mode),
                owner=(facts.st_uid, facts.st_gid),
                content=content,
                xattrs=tuple(sorted((key, value.decode("latin-1")) for key, value in xattrs.items())),
                names=(),
            )
    return _with_names(found, {min(names): names for names in same.values()})


def _with_names(found: Mapping[str, Found], names: Mapping[str, list[str]]) -> Unpacked:
    complete = dict(found)
    for first, all_names in names.items():
        one = found.get(first) or found[all_names[0]]
        for name in all_names:
            complete[name] = Found(one.kind, one.mode, one.owner, one.content, one.xattrs, tuple(sorted(all_names)))
    return complete


def _is_of_container(path: str) -> bool:
    return path in ("", ".") or any(path == one or path.startswith(f"{one}/") for one in _OF_CONTAINERS)

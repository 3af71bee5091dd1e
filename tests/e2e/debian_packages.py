"""A Debian package made of nothing but the standard library."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

_CONTROL = """\
Package: {name}
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: a package for a test
"""


def make_package(name: str, files: Mapping[str, str]) -> bytes:
    """Return a package that installs ``files``, by their paths."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar": make_archive({"./control": _CONTROL.format(name=name)}),
        "data.tar": make_archive({f"./{path}": text for path, text in files.items()}),
    }
    return b"!<arch>\n" + b"".join(_member(member, content) for member, content in members.items())


def make_archive(files: Mapping[str, str]) -> bytes:
    """Return an archive of files, and of the folders that they are in."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, text in files.items():
            parts = path.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                folder = tarfile.TarInfo("/".join(parts[:depth]))
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(folder)
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def _member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)

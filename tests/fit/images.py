"""Bases and late files made of small ELF files, and what is found of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from buildonce.assemble.archive import Want, scan_layer
from buildonce.assemble.entries import Entry, EntryType
from buildonce.assemble.tree import apply_layers
from buildonce.elf.reading import read_runnable
from buildonce.elf.streamed import read_bytes
from buildonce.fit.findings import Finding
from buildonce.fit.judging import judge
from buildonce.fit.loader_files import is_loader_file
from buildonce.fit.offer import Offer, decode_offer, encode_offer, gather_offer
from buildonce.fit.world import Image, LateFile, Settings
from buildonce.oci import digest_of, parse_platform
from tests.assemble.archives import make_tar, member, symlink
from tests.elf.writer import AARCH64, LOADER, MUSL_LOADER, make_elf

Files = Mapping[str, bytes | str]
"""Contents of files, which are executable, and targets of symbolic links, by path without a slash at the beginning."""

DIRECTORIES = b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0x"
GLIBC_VERSIONS = ("GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.34", "GLIBC_2.36", "GLIBC_PRIVATE")
SCRIPT = b"#!/bin/sh\n"


def glibc_loader(**says: object) -> bytes:
    """Return glibc's loader."""
    return make_elf(soname="ld-linux-x86-64.so.2", versions=["GLIBC_2.34"], data=DIRECTORIES, **says)


GLIBC: Files = {
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "bin": "usr/bin",
    "usr/lib64/ld-linux-x86-64.so.2": "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": glibc_loader(),
    "usr/lib/x86_64-linux-gnu/libc.so.6": make_elf(soname="libc.so.6", interpreter=LOADER, versions=GLIBC_VERSIONS),
    "usr/lib/x86_64-linux-gnu/libm.so.6": make_elf(soname="libm.so.6", versions=("GLIBC_2.2.5", "GLIBC_2.35")),
    "usr/lib/x86_64-linux-gnu/libstdc++.so.6": "libstdc++.so.6.0.30",
    "usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30": make_elf(
        soname="libstdc++.so.6", versions=("GLIBCXX_3.4", "GLIBCXX_3.4.30", "CXXABI_1.3")
    ),
    "usr/lib/x86_64-linux-gnu/libssl.so.1.1": make_elf(soname="libssl.so.1.1", versions=("OPENSSL_1_1_0",)),
    "usr/lib/x86_64-linux-gnu/libold.so.1": make_elf(soname="libold.so.1"),
    "usr/bin/dash": make_elf(interpreter=LOADER, needed=["libc.so.6"]),
    "usr/bin/sh": "dash",
    "usr/bin/env": make_elf(interpreter=LOADER, needed=["libc.so.6"]),
    "usr/bin/python3.11": make_elf(interpreter=LOADER, needed=["libc.so.6"]),
    "usr/bin/python3": "python3.11",
    "etc/hosts": b"127.0.0.1 localhost\n",
}
"""A base with glibc, its system directories merged into /usr as Debian has them."""

MUSL: Files = {
    "lib/ld-musl-x86_64.so.1": make_elf(soname="libc.musl-x86_64.so.1"),
    "lib/libc.musl-x86_64.so.1": "ld-musl-x86_64.so.1",
    "usr/lib/libgcc_s.so.1": make_elf(soname="libgcc_s.so.1", needed=["libc.musl-x86_64.so.1"]),
    "bin/busybox": make_elf(interpreter=MUSL_LOADER, needed=["libc.musl-x86_64.so.1"]),
    "bin/sh": "/bin/busybox",
    "usr/bin/env": "/bin/busybox",
}
"""A base with musl, as Alpine has it."""


def program(**says: object) -> bytes:
    """Return a program that is linked with glibc, unless it says otherwise."""
    return make_elf(**{"interpreter": LOADER, "needed": ["libc.so.6"], **says})


def foreign(**says: object) -> bytes:
    """Return a file for 64-bit Arm."""
    return make_elf(machine=AARCH64, **says)


def offer_of(files: Files) -> Offer:
    """Return what a base of these files offers, as it comes out of a layer and a record."""
    members = [
        symlink(path, content) if isinstance(content, str) else member(path, mode=0o755, content=content)
        for path, content in files.items()
    ]
    layer = scan_layer(io.BytesIO(make_tar(members)), Want(keep=is_loader_file, runnables=True))
    offer = gather_offer(apply_layers([layer.entries]), layer.runnables, layer.kept)
    assert decode_offer(encode_offer(offer)) == offer
    return offer


def image_of(
    base: Files | None,
    late: Files,
    *,
    platform: str = "linux/amd64",
    modes: Mapping[str, int] | None = None,
    named: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
) -> Image:
    """Return an image of these files, those of ``late`` executable unless ``modes`` says otherwise."""
    entries: dict[str, Entry] = {}
    files: list[LateFile] = []
    for path, content in late.items():
        if isinstance(content, str):
            entries[path] = Entry(path=path, type=EntryType.SYMLINK, link=content)
            continue
        mode = (modes or {}).get(path, 0o755)
        digest = digest_of(content)
        entries[path] = Entry(path=path, type=EntryType.FILE, mode=mode, size=len(content), digest=digest)
        runnable = read_runnable(read_bytes(content), len(content))
        if runnable is not None:
            files.append(LateFile(path=path, mode=mode, digest=digest, runnable=runnable, is_named=path in named))
    return Image(
        platform=parse_platform(platform),
        offer=None if base is None else offer_of(base),
        late=entries,
        files=tuple(files),
        settings=Settings(environment=environment or {}, command=tuple(command)),
    )


def findings_of(base: Files | None, late: Files, **options: object) -> tuple[Finding, ...]:
    """Return what is found of an image."""
    return judge(image_of(base, late, **options))  # type: ignore[arg-type]

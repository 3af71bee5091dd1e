"""The words of findings, as triples of clauses: what a file needs, what the image has, what would cure it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from buildonce.elf.abis import name_abi
from buildonce.elf.values import Abi, Elf, Script
from buildonce.fit.loading import Missing, TooOld
from buildonce.fit.machines import native_abi
from buildonce.fit.search import Loader
from buildonce.fit.world import Found, World, is_glibc_loader
from buildonce.oci import Platform

_Words = tuple[str, str, str]
_VERSION = re.compile(r"(.+?)_([0-9]+(?:\.[0-9]+)*)")


def is_musl(name: str) -> bool:
    """Say whether a library is musl itself: Alpine gives it a name of its own."""
    return name.startswith("libc.musl-") or name == "libc.so"


def is_for_musl(elf: Elf) -> bool:
    """Say whether a file was linked with musl."""
    return any(is_musl(name) for name in elf.needed)


def is_for_glibc(elf: Elf) -> bool:
    """Say whether a file was linked with glibc."""
    wanted = (version for versions in elf.versions_needed.values() for version in versions)
    return any(version.startswith("GLIBC_") for version in wanted)


def broken(elf: Elf) -> _Words:
    """Say that a file is not whole."""
    return (
        f"is a damaged program: {elf.problem}",
        "no machine runs it",
        "compile it again; look at what writes or strips it",
    )


def machine(abi: Abi, platform: Platform) -> _Words:
    """Say that a file is for another machine."""
    native = native_abi(platform)
    return (
        f"is for {name_abi(abi)}",
        f"{platform} runs {name_abi(native)}" if native else f"{platform} does not run it",
        f"compile it for {platform}; a stage that cross-compiles must be told for what ($TARGETARCH)",
    )


def level(elf: Elf, platform: Platform) -> _Words:
    """Say that a file wants more of a processor than the platform promises."""
    return (
        f"needs a processor of the level x86-64-v{elf.level}",
        f"{platform} promises less",
        f"compile it with -march=x86-64, or ship it for {platform.os}/{platform.architecture}/v{elf.level}",
    )


def interpreter(world: World, elf: Elf, found: Found | None) -> _Words:
    """Say that the loader that a program names is not there, or is not one for it."""
    says = f"needs the loader `{elf.interpreter}`"
    if found is not None and found.abi is not None:
        return (
            says,
            f"that of the image is for {name_abi(found.abi)}",
            "compile it for the ABI of the base, or use another base",
        )
    wanted = posixpath.basename(elf.interpreter or "")
    loaders = sorted(name for name, _ in world.loaders)
    there = f"the image has `{loaders[0]}`" if loaders else "the image has no C library"
    if wanted.startswith("ld-musl-"):
        cure = "link it statically, compile it on a base with glibc, or use a base with musl"
        return says, f"{there}, not musl", cure
    if loaders and not any(is_glibc_loader(one) for _, one in world.loaders):
        cure = "compile it on a base with musl, link it statically, install `gcompat`, or use a base with glibc"
        return f"{says} of glibc", f"{there}, which is musl", cure
    cure = "link it statically, or use a base that has the loader"
    return says, f"{there}" if not loaders else f"{there} instead", cure


def library(world: World, missing: Missing, path: str) -> _Words:
    """Say that a library is not found."""
    name = missing.name
    says = f"needs the library `{name}`" + _through(missing.wanting.path, path)
    if missing.unfit is not None and missing.unfit.abi is not None:
        has = f"`{missing.unfit.path}` is for {name_abi(missing.unfit.abi)}"
        return says, has, f"bring a `{name}` for the program's machine"
    if is_musl(name):
        return says, "the image has no musl", "compile it on a base with glibc, or use a base with musl"
    elsewhere = world.named(name)
    if elsewhere is not None:
        directory = posixpath.dirname(elsewhere.path)
        listed = directory in world.offer.listed
        cure = (
            f"set `ENV LD_LIBRARY_PATH={directory}`, link with `-Wl,-rpath,{directory}`, or copy it to where the "
            "loader looks"
        )
        has = f"`{elsewhere.path}` is not where the loader looks"
        if listed:
            has += ", though ld.so.conf lists its directory: the loader's cache does not have it"
            cure = f"add `RUN ldconfig` after the COPY, or {cure}"
        return says, has, cure
    like = [one for one in world.libraries_like(name.partition(".so")[0]) if one != name]
    has = f"the image has {_list(like)} only" if like else "the image has no such library"
    return says, has, f"install the package with `{name}` in the base, copy the library too, or link it statically"


def version(old: TooOld, path: str) -> _Words:
    """Say that a library is there and too old."""
    wanted = ", ".join(sorted(old.versions, key=_rank))
    says = f"needs {wanted} of `{old.name}`" + _through(old.wanting.path, path)
    stems = {stem for one in old.versions if (stem := _stem(one))}
    newest = [max((one for one in old.found.versions if _stem(one) == stem), key=_rank, default="") for stem in stems]
    offered = ", ".join(one for one in newest if one)
    has = f"`{old.found.path}` offers {offered} at most" if offered else f"`{old.found.path}` does not offer it"
    cure = (
        "compile it on a base that is not newer than the image's, link it statically, or use a newer base"
        if old.name == "libc.so.6"
        else f"compile it with the `{old.name}` of the image's base, copy the newer library too, or use a newer base"
    )
    return says, has, cure


def foreign_library(loader: Loader) -> _Words:
    """Say that a library for glibc meets musl."""
    return (
        "was linked with glibc",
        f"the loader `{loader.file.path}` is musl, which has not all of its functions",
        "compile it on a base with musl, or install `gcompat` in the base",
    )


def script(world: World, one: Script, found: Found | None) -> _Words:
    """Say that a script's interpreter is not there."""
    says = f"is run by `{one.interpreter}`"
    if one.interpreter.endswith("\r"):
        return (
            f"is run by `{one.interpreter[:-1]}\\r`",
            "no program has such a name",
            "give the file Unix line ends: its first line ends with a carriage return",
        )
    if found is not None:
        return says, f"`{found.path}` cannot be executed", "correct the mode of that program"
    name = posixpath.basename(one.interpreter)
    other = world.find_program(name)
    if other is not None:
        return says, f"the image has `{other.path}`", f"begin the script with `#!{other.path}`"
    return says, "the image does not have it", f"install `{name}` in the base, or use a base that has it"


def program_of_env(one: Script) -> str:
    """Return the program that an ``env`` line starts: after options and variables."""
    words = one.argument.split() if one.argument.startswith("-") else [one.argument]
    return next((word for word in words if not word.startswith("-") and "=" not in word), "")


def program_in_path(world: World, name: str) -> _Words:
    """Say that a program is not in PATH."""
    return (
        f"is run by `{name}`",
        f"no directory of PATH ({':'.join(world.path)}) has it",
        f"install `{name}` in the base, or use a base that has it",
    )


def _through(wanting: str, path: str) -> str:
    return "" if wanting == f"/{path}" else f" (for `{posixpath.normpath(wanting)}`, which it loads)"


def _list(names: Sequence[str], limit: int = 3) -> str:
    return ", ".join(f"`{name}`" for name in names[:limit])


def _stem(version_name: str) -> str:
    found = _VERSION.fullmatch(version_name)
    return found[1] if found else ""


def _rank(version_name: str) -> tuple[str, tuple[int, ...]]:
    found = _VERSION.fullmatch(version_name)
    return (found[1], tuple(map(int, found[2].split(".")))) if found else (version_name, ())

"""Where loaders look for libraries: glibc's elf/dl-load.c and musl's ldso/dynlink.c, rule for rule."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from enum import Enum

from msgspec import Struct

from buildonce.elf.abis import AARCH64, ARM, MIPS, PPC64, RISCV, S390, X86, X86_64
from buildonce.elf.values import Abi, Elf
from buildonce.fit.loader_files import MUSL_DEFAULT
from buildonce.fit.world import Found, World, is_glibc_loader, is_musl_loader

_MULTIARCH = {
    X86: "i386-linux-gnu",
    X86_64: "x86_64-linux-gnu",
    AARCH64: "aarch64-linux-gnu",
    ARM: "arm-linux-gnueabihf",
    PPC64: "powerpc64le-linux-gnu",
    S390: "s390x-linux-gnu",
    RISCV: "riscv64-linux-gnu",
    MIPS: "mips64el-linux-gnuabi64",
}
_PLATFORMS = {X86: "i686", X86_64: "x86_64", AARCH64: "aarch64", ARM: "v7l", PPC64: "powerpc64le", S390: "z15"}
_MUSL_ITSELF = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")
_VARIABLE = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)\b)")


class LoaderKind(Enum):
    """Whose rules a loader follows; those of others are not known."""

    GLIBC = "glibc"
    MUSL = "musl"
    OTHER = "other"


class Loader(Struct, frozen=True, kw_only=True):
    """A loader in an image, and where it looks by itself."""

    file: Found
    kind: LoaderKind
    abi: Abi
    directories: tuple[str, ...]


class Loaded(Struct, frozen=True, kw_only=True):
    """Something in a process that asks for libraries, with the objects that brought it there: the nearest first.

    ``path`` is the one under which it was found, which $ORIGIN counts from.
    """

    path: str
    elf: Elf
    parents: tuple[Loaded, ...] = ()

    @property
    def chain(self) -> tuple[Loaded, ...]:
        """It, what asked for it, what asked for that, and so on."""
        return (self, *self.parents)


def loader_of(world: World, found: Found, name: str) -> Loader:
    """Return the loader that a file is, called by ``name``."""
    assert found.abi is not None  # noqa: S101  a loader is an ELF file
    if is_glibc_loader(found):
        directories = found.directories or _usual_directories(found.abi)
        return Loader(file=found, kind=LoaderKind.GLIBC, abi=found.abi, directories=directories)
    if is_musl_loader(name) or is_musl_loader(found.path) or found.soname.startswith("libc.musl-"):
        base = next((one for one in (name, found.path) if is_musl_loader(one)), found.soname)
        architecture = posixpath.basename(base).removeprefix("ld-musl-").removeprefix("libc.musl-").partition(".so")[0]
        directories = world.offer.musl.get(architecture, MUSL_DEFAULT)
        return Loader(file=found, kind=LoaderKind.MUSL, abi=found.abi, directories=directories)
    return Loader(file=found, kind=LoaderKind.OTHER, abi=found.abi, directories=())


def is_part_of(loader: Loader, name: str) -> bool:
    """Say whether a name means the C library that a loader is itself (musl, `load_library`)."""
    return loader.kind is LoaderKind.MUSL and bool(_MUSL_ITSELF.match(name))


def candidates(world: World, loader: Loader, wanting: Loaded, name: str) -> Iterator[str]:
    """Yield the paths at which a loader looks for a library that ``wanting`` needs, in their order."""
    if "/" in name:
        for written in expand(name, wanting.path, loader.abi):
            yield posixpath.join(world.image.settings.workdir, written)
        return
    for directory in directories(world, loader, wanting):
        yield posixpath.join(directory, name)
    if loader.kind is LoaderKind.GLIBC:
        yield from world.offer.cached.get(name, ())
    for directory in loader.directories:
        yield posixpath.join(directory, name)


def directories(world: World, loader: Loader, wanting: Loaded) -> Iterator[str]:
    """Yield the directories that a loader looks into before those that the system names."""
    environment = world.image.settings.environment.get("LD_LIBRARY_PATH", "")
    from_environment = re.split("[:;]", environment) if environment else []
    if loader.kind is LoaderKind.GLIBC:
        if not wanting.elf.runpath:
            for one in wanting.chain:
                yield from _expanded(() if one.elf.runpath else one.elf.rpath, one, loader, world)
        yield from _expanded(from_environment, wanting.chain[-1], loader, world)
        yield from _expanded(wanting.elf.runpath, wanting, loader, world)
    else:
        yield from _expanded(from_environment, wanting.chain[-1], loader, world)
        for one in wanting.chain:
            yield from _expanded(one.elf.runpath or one.elf.rpath, one, loader, world)


def _expanded(written: Sequence[str], one: Loaded, loader: Loader, world: World) -> Iterator[str]:
    for directory in written:
        for expanded in expand(directory, one.path, loader.abi):
            yield posixpath.join(world.image.settings.workdir, expanded)


def expand(written: str, path: str, abi: Abi) -> tuple[str, ...]:
    """Return what a directory means for the file at ``path``, $ORIGIN, $LIB and $PLATFORM put in.

    What $LIB is was decided when the loader was compiled, so each usual value is tried.
    """
    libraries = ("lib64", "lib", f"lib/{_MULTIARCH.get(abi.machine, '')}") if "LIB" in written else ("",)
    values = {"ORIGIN": posixpath.dirname(path), "PLATFORM": _PLATFORMS.get(abi.machine, "")}
    return tuple(
        _VARIABLE.sub(lambda found, lib=library: {**values, "LIB": lib}[found[1] or found[2]], written)  # type: ignore[misc]
        for library in libraries
    )


def _usual_directories(abi: Abi) -> tuple[str, ...]:
    name = _MULTIARCH.get(abi.machine)
    multiarch = (f"/lib/{name}", f"/usr/lib/{name}") if name else ()
    wide = ("/lib64", "/usr/lib64") if abi.bits == 64 else ("/lib32", "/usr/lib32")
    return (*multiarch, *wide, "/lib", "/usr/lib")

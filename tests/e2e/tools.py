"""[io] Readers of images that others wrote: the machine's own, else Debian's, in the test host's folder of tools."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from scripts.testhost import machine, process
from scripts.testhost.apt import World, open_package
from scripts.testhost.context import Context, complete, empty_scratch, exclusive
from scripts.testhost.folders import locate
from scripts.testhost.standin_host import Worlds

_SUITES = {"crane": "sid"}
"""Where a tool is that the machine's own suite does not have; a Go program minds no other C library."""

_LIBRARIES = ("libgpgme", "libassuan", "libgpg-error", "libdevmapper", "libseccomp", "libsubid")
"""What skopeo and buildah link to and a small system lacks."""

_LINKED = ("skopeo", "buildah")


def find_tool(name: str) -> tuple[str, ...]:
    """Return the beginning of the tool's command lines."""
    if found := shutil.which(name):
        return (found,)
    context = Context(folders=locate(os.environ, Path.home()), runner=process.run, say=lambda _: None)
    target = context.folders.tools / f"reader-{name}"
    if not target.exists():
        with exclusive(context):
            empty_scratch(context.folders)
            complete(target, lambda folder: _unpack(name, Worlds(context), folder), context.folders)
    return ("env", f"LD_LIBRARY_PATH={target / 'lib'}", str(target / name))


def _unpack(name: str, worlds: Worlds, folder: Path) -> None:
    suite = _SUITES.get(name, machine.debian_codename())
    world = worlds.open(suite, machine.architecture())
    (folder / "lib").mkdir(parents=True)
    for package in _packages(world, name):
        with open_package(package) as archive:
            for member in archive:
                path = Path(member.name)
                place = folder / name if path.name == name else folder / "lib" / path.name
                if member.issym() and ".so" in path.name:
                    place.symlink_to(Path(member.linkname).name)
                elif member.isfile() and (".so" in path.name or path.parts[-2:] == ("bin", name)):
                    content = archive.extractfile(member)
                    assert content is not None
                    place.write_bytes(content.read())
                    place.chmod(0o755)


def _packages(world: World, name: str) -> list[Path]:
    if name not in _LINKED:
        return world.fetch_only((name,))
    return [path for path in world.fetch((name,)) if path.name.startswith((f"{name}_", *_LIBRARIES))]

"""[io] The files of Debian packages of any suite and architecture, in the test host's folder of tools."""

from __future__ import annotations

import os
from pathlib import Path

from scripts.testhost import process
from scripts.testhost.apt import World, open_package
from scripts.testhost.context import Context, complete, empty_scratch, exclusive
from scripts.testhost.folders import locate
from scripts.testhost.standin_host import Worlds


def unpack_packages(names: tuple[str, ...], suite: str, architecture: str) -> Path:
    """Return a folder with the files of the packages alone, fetched if they are not there yet."""
    context = Context(folders=locate(os.environ, Path.home()), runner=process.run, say=lambda _: None)
    target = context.folders.tools / f"files-{suite}-{architecture}-{'-'.join(names)}"
    if not target.exists():
        with exclusive(context):
            empty_scratch(context.folders)
            world = Worlds(context).open(suite, architecture)
            complete(target, lambda folder: _unpack(world, names, folder), context.folders)
    return target


def _unpack(world: World, names: tuple[str, ...], folder: Path) -> None:
    folder.mkdir(parents=True)
    for package in world.fetch_only(names):
        with open_package(package) as archive:
            archive.extractall(folder, filter="tar")

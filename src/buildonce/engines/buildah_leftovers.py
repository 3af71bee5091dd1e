"""[io] What a Buildah that was ended leaves behind: the containers that it built in, each with a mounted file system.

Containers get names by their images, so those of one build are found by what it was given: Buildah notes the options of
a build in each of its containers, and a secret's source is one that nobody else has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from buildonce.store.streams import open_file

_NOTES = "userdata/buildah.json"


def question(*, podman: bool) -> tuple[str, ...]:
    """Return the arguments that have the program say where its storage is."""
    store = ".Store" if podman else ".store"
    return ("info", "--format", f"{{{{{store}.GraphRoot}}}}\t{{{{{store}.GraphDriverName}}}}")


def find_containers(answer: str, mark: Path) -> tuple[str, ...]:
    """Return the containers of the build that was given ``mark``; ``answer`` is that to `question`."""
    root, tab, driver = answer.strip().partition("\t")
    return tuple(_marked(Path(root) / f"{driver}-containers", str(mark).encode())) if tab else ()


def _marked(containers: Path, mark: bytes) -> Iterator[str]:
    for container in sorted(containers.iterdir()) if containers.is_dir() else ():
        with suppress(OSError), open_file(container / _NOTES) as file:
            if mark in file.read():
                yield container.name

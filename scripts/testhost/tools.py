"""Programs out of Debian packages, each set in a folder of its own. [io]"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .apt import World, open_package
from .errors import HostError
from .process import Runner, demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Programs that are taken and replaced together: package -> the programs wanted from it."""

    name: str
    packages: Mapping[str, tuple[str, ...]]

    @property
    def programs(self) -> tuple[str, ...]:
        """Every program of the set."""
        return tuple(program for programs in self.packages.values() for program in programs)


REGISTRY = Tool(name="registry", packages={"docker-registry": ("docker-registry",)})
# From the machine's own suite: a newer runc wants a newer C library.
RUNTIME = Tool(name="runtime", packages={"runc": ("runc",)})
ENGINE = Tool(
    name="engine",
    packages={
        "docker.io": ("dockerd",),
        "docker-cli": ("docker",),
        "containerd": ("containerd", "containerd-shim-runc-v2"),
        "docker-buildx": ("docker-buildx",),
    },
)
# The first that this machine can run is taken: Debian 12's own Docker knows neither named contexts nor OCI layouts.
ENGINE_SUITES = ("sid", "trixie")


def emulator(program: str) -> Tool:
    """Return the set with one emulator."""
    return Tool(name=program, packages={"qemu-user-static": (program,)})


def unpack(tool: Tool, world: World, folder: Path) -> None:
    """Put the set's programs into a new folder."""
    folder.mkdir(parents=True)
    for package in world.fetch_only(tuple(tool.packages)):
        wanted = set(tool.packages[package.name.split("_", 1)[0]])
        with open_package(package) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                content = archive.extractfile(member) if path.name in wanted and is_program(member) else None
                if content is not None:
                    (folder / path.name).write_bytes(content.read())
                    (folder / path.name).chmod(0o755)
                    wanted.discard(path.name)
        if wanted:
            raise HostError(f"{package.name} holds no {', '.join(sorted(wanted))}")


def is_program(member: tarfile.TarInfo) -> bool:
    """Whether a package's member is a program, and not, say, the init script of the same name.

    Wherever below /usr: plug-ins have moved between suites.
    """
    return member.isfile() and member.mode & 0o111 != 0 and PurePosixPath(member.name).parts[:1] == ("usr",)


def check(tool: Tool, folder: Path, runner: Runner) -> None:
    """Start every program of the set once: a C library that is too old shows here."""
    for program in tool.programs:
        argument = "version" if program == "docker-buildx" else "--version"
        # The shim prints its version for one dash only.
        argument = "-v" if program == "containerd-shim-runc-v2" else argument
        demand(runner, [str(folder / program), argument], what=f"{program} does not run on this machine")


def client_folders(engine: Path, client: Path, docker_config: Path) -> None:
    """Give the Docker client a folder for PATH, and a configuration folder in which it finds buildx."""
    (docker_config / "cli-plugins").mkdir(parents=True, exist_ok=True)
    client.mkdir(parents=True, exist_ok=True)
    _link(client / "docker", engine / "docker")
    _link(docker_config / "cli-plugins" / "docker-buildx", engine / "docker-buildx")


def _link(path: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        if path.readlink() == target:
            return
        path.unlink()
    path.symlink_to(target)

"""[io] A Buildah to build with: a current one of Debian's, on other systems the machine's own; with its own settings.

A program from a newer Debian wants a newer C library: it is given one, and told where its libraries are.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.testhost import machine, process
from scripts.testhost.apt import World, open_package
from scripts.testhost.context import Context, complete, empty_scratch, exclusive
from scripts.testhost.folders import locate
from scripts.testhost.standin_host import Worlds
from tests.e2e.harness import Host

_SUITE = "sid"
_PROGRAMS = ("buildah", "netavark", "newuidmap", "newgidmap", "patchelf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A Buildah; ``environment`` is what leads to it, and to a storage that nobody else uses."""

    program: Path
    folder: Path
    environment: Mapping[str, str] = field(repr=False)


def set_up(host: Host, folder: Path) -> Installed:
    """Return a Buildah that runs as this user, with a storage that nobody else uses in ``folder``."""
    return _configured(host, folder, find_programs())


def _configured(host: Host, folder: Path, tools: Path) -> Installed:
    settings = folder / "settings"
    (settings / ".config" / "containers").mkdir(parents=True)
    (settings / "run").mkdir(mode=0o700)
    policy = {"default": [{"type": "insecureAcceptAnything"}]}
    (settings / ".config" / "containers" / "policy.json").write_text(json.dumps(policy))
    (settings / "registries.conf").write_text(_registries(host.registry))
    helpers = f'[engine]\nhelper_binaries_dir = ["{tools}"]\n' if (tools / "netavark").exists() else ""
    (settings / "containers.conf").write_text(_limits() + helpers)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    (settings / "storage.conf").write_text(storage)
    own = {
        "HOME": str(settings),
        "XDG_RUNTIME_DIR": str(settings / "run"),
        "CONTAINERS_CONF": str(settings / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(settings / "registries.conf"),
        "CONTAINERS_STORAGE_CONF": str(settings / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "BUILDONCE_ENGINE": "buildah",
        "PATH": os.pathsep.join((str(tools), host.environment["PATH"])),
    }
    return Installed(program=tools / "buildah", folder=folder, environment={**host.environment, **own})


def set_up_rootless(host: Host, folder: Path) -> Installed:
    """Return a Buildah that runs as a user of no rights, who exists for it alone and has a range of numbers."""
    folder.chmod(0o755)
    tools = find_programs()
    if machine.debian_codename():  # they may lie in a home that is closed to others
        tools = Path(shutil.copytree(tools, folder / "tools", symlinks=True))
        _patch(tools, tools)
        for name in ("newuidmap", "newgidmap"):
            (tools / name).chmod(0o4755)
    installed = _configured(host, folder, tools)
    home = installed.environment["HOME"]
    (folder / "passwd").write_text(f"{Path('/etc/passwd').read_text()}{_USER}:x:{_NUMBER}:{_NUMBER}::{home}:/bin/sh\n")
    (folder / "group").write_text(f"{Path('/etc/group').read_text()}{_USER}:x:{_NUMBER}:\n")
    (folder / "range").write_text(f"{_USER}:{2 * _NUMBER}:65536\n")
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "buildah"
    wrapper.write_text(_WRAPPER.format(folder=folder, number=_NUMBER, program=installed.program))
    wrapper.chmod(0o755)
    subprocess.run(["chown", "-R", f"{_NUMBER}:{_NUMBER}", home], check=True)
    of_root = ("CONTAINERS_STORAGE_CONF", "DOCKER_CONFIG")
    environment = {name: value for name, value in installed.environment.items() if name not in of_root}
    path = os.pathsep.join((str(wrapper.parent), environment["PATH"]))
    return replace(installed, program=wrapper, environment={**environment, "PATH": path})


_USER, _NUMBER = "builder", 34567
_WRAPPER = """\
#!/bin/sh
# What is to be read and written was made by root: hand it over, and become somebody else.
for word; do
  case $before in --file | --iidfile | --authfile) chown -R {number} "$(dirname "$word")" ;; esac
  before=$word
done
[ "$INSIDE" ] || INSIDE=1 exec unshare --mount "$0" "$@"
mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group || exit
mount --bind {folder}/range /etc/subuid && mount --bind {folder}/range /etc/subgid || exit
cd {folder}
exec setpriv --reuid={number} --regid={number} --clear-groups {program} "$@"
"""


def take_down(folder: Path) -> None:
    """Remove a storage, with what is mounted in it."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((place for place in mounted if place.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=True)
    subprocess.run(["rm", "-rf", folder], check=True)


def _registries(registry: str) -> str:
    local = f'location = "{registry}"\ninsecure = true\n'
    hub = 'prefix = "docker.io"\nlocation = "docker.io"\n'
    return f"[[registry]]\n{local}[[registry]]\n{hub}[[registry.mirror]]\n{local}"


def _limits() -> str:
    """Return the limits that this process has: Buildah would raise them, which not every root may."""
    names = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    limits = [f'"{name}={{0}}:{{0}}"'.format(resource.getrlimit(number)[0]) for name, number in names.items()]
    return f"[containers]\ndefault_ulimits = [{', '.join(limits)}]\n"


def find_programs() -> Path:
    """Return a folder with Buildah and what it calls."""
    if not machine.debian_codename():
        own = shutil.which("buildah")
        assert own, "there is no buildah on this machine"
        return Path(own).parent
    context = Context(folders=locate(os.environ, Path.home()), runner=process.run, say=lambda _: None)
    target = context.folders.tools / f"buildah-{_SUITE}"
    if not target.exists():
        with exclusive(context):
            empty_scratch(context.folders)
            complete(target, lambda folder: _install(Worlds(context), folder, target), context.folders)
    return target


def _install(worlds: Worlds, folder: Path, target: Path) -> None:
    (folder / "lib").mkdir(parents=True)
    newer = worlds.open(_SUITE, machine.architecture())
    own = worlds.open(machine.debian_codename(), machine.architecture())
    packages = [*_libraries(newer), *newer.fetch_only(("buildah", "netavark"))]
    for package in (*packages, *own.fetch_only(("uidmap", "patchelf"))):
        _unpack(package, folder)
    _patch(folder, target)


def _patch(folder: Path, target: Path) -> None:
    """Have the programs in ``folder``, which will be at ``target``, take the libraries beside them."""
    (loader,) = (path.name for path in (folder / "lib").glob("ld-linux-*.so.*"))
    for name in ("buildah", "netavark"):
        options = ("--set-interpreter", target / "lib" / loader, "--force-rpath", "--set-rpath", target / "lib")
        subprocess.run([str(word) for word in (folder / "patchelf", *options, folder / name)], check=True)


def _libraries(world: World) -> list[Path]:
    needed = [path for path in world.fetch(("buildah",)) if path.name.startswith("lib")]
    return [*needed, *world.fetch_only(("libc6", _subid(needed)))]


def _subid(packages: list[Path]) -> str:
    """Return the library that reads /etc/subuid, which apt takes for a part of every system."""
    return next((path.name.split("_")[0] for path in packages if path.name.startswith("libsubid")), "libsubid6")


def _unpack(package: Path, folder: Path) -> None:
    with open_package(package) as archive:
        for member in archive:
            path = Path(member.name)
            is_library = ".so" in path.name and path.parent.name.endswith("-linux-gnu")
            place = folder / "lib" / path.name if is_library else folder / path.name
            if is_library and member.issym():
                place.unlink(missing_ok=True)
                place.symlink_to(Path(member.linkname).name)
            elif member.isfile() and (is_library or _is_wanted(path)):
                content = archive.extractfile(member)
                assert content is not None
                place.unlink(missing_ok=True)
                place.write_bytes(content.read())
                place.chmod(0o755)


def _is_wanted(path: Path) -> bool:
    return path.name in _PROGRAMS and path.parent.name in ("bin", "podman")

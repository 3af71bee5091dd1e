"""[io] Buildahs to build with, and a Podman: Debian's current ones and an old one, each with its own settings.

A program from another Debian wants another C library: it is given one, and told where its libraries are. On other
systems they are the machine's own, old and new.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from scripts.testhost import machine, process
from scripts.testhost.apt import World, open_package
from scripts.testhost.context import Context, complete, empty_scratch, exclusive
from scripts.testhost.folders import locate
from scripts.testhost.standin_host import Worlds
from tests.e2e.harness import Host

_CURRENT = "sid"
_LINKED = ("buildah", "podman", "conmon", "crun", "netavark")
_PROGRAMS = (*_LINKED, "newuidmap", "newgidmap", "patchelf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A Buildah; ``environment`` is what leads to it, and to a storage that nobody else uses."""

    program: Path
    folder: Path
    environment: Mapping[str, str] = field(repr=False)


def set_up(host: Host, folder: Path) -> Installed:
    """Return a Buildah that runs as this user, with a storage that nobody else uses in ``folder``."""
    return _configured(host, folder, find_programs())


def set_up_podman(host: Host, folder: Path) -> Installed:
    """Return a Podman likewise."""
    return _configured(host, folder, find_programs(), program="podman")


def set_up_old(host: Host, folder: Path) -> Installed:
    """Return the Buildah of the machine's own Debian likewise; Debian 12 has the oldest that is supported."""
    return _configured(host, folder, find_programs(own=True))


def _configured(host: Host, folder: Path, tools: Path, program: str = "buildah") -> Installed:
    settings = folder / "settings"
    (settings / ".config" / "containers").mkdir(parents=True)
    (settings / "run").mkdir(mode=0o700)
    policy = {"default": [{"type": "insecureAcceptAnything"}]}
    (settings / ".config" / "containers" / "policy.json").write_text(json.dumps(policy))
    (settings / "registries.conf").write_text(_registries(host.registry))
    (settings / "containers.conf").write_text(_limits() + _helpers(tools))
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    (settings / "storage.conf").write_text(storage)
    own = {
        "HOME": str(settings),
        "XDG_RUNTIME_DIR": str(settings / "run"),
        "CONTAINERS_CONF": str(settings / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(settings / "registries.conf"),
        "CONTAINERS_STORAGE_CONF": str(settings / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "BUILDONCE_ENGINE": program,
        "PATH": os.pathsep.join((str(tools), host.environment["PATH"])),
    }
    return Installed(program=tools / program, folder=folder, environment={**host.environment, **own})


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
    environment = {**installed.environment, "DOCKER_CONFIG": home}
    del environment["CONTAINERS_STORAGE_CONF"]
    path = os.pathsep.join((str(wrapper.parent), environment["PATH"]))
    return replace(installed, program=wrapper, environment={**environment, "PATH": path})


_USER, _NUMBER = "builder", 34567
_WRAPPER = """\
#!/bin/sh
# What is to be read and written was made by root: hand it over, and become somebody else.
hand_over() {{
  place=$(dirname "$1")
  chown -R {number} "$place"
  while [ "$place" != / ]; do case $place in {folder}*) chmod a+x "$place" ;; esac; place=$(dirname "$place"); done
}}
for word; do
  case $before in --file | --iidfile | --authfile) hand_over "$word" ;; esac
  case $word in dir:* | type=tar,dest=*) hand_over "/${{word#*/}}" ;; esac
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
    """Return limits that this process has, and an old Buildah itself: to raise them is not allowed to every root."""
    files, processes = (resource.getrlimit(number)[0] for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    processes = min(processes, int(Path("/proc/sys/kernel/pid_max").read_text()))
    return f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'


def _helpers(tools: Path) -> str:
    """Return where Podman finds what it calls; where it is the machine's own, it knows."""
    if not (tools / "netavark").exists():
        return ""
    called = f'helper_binaries_dir = ["{tools}"]\nconmon_path = ["{tools}/conmon"]\nruntime = "crun"\n'
    return f'[engine]\n{called}[engine.runtimes]\ncrun = ["{tools}/crun"]\n'


def find_programs(*, own: bool = False) -> Path:
    """Return a folder with Buildah and what it calls; a current one, or that of the machine's ``own`` Debian."""
    codename = machine.debian_codename()
    if not codename:
        found = shutil.which("buildah")
        assert found, "there is no buildah on this machine"
        return Path(found).parent
    suite = codename if own else _CURRENT
    packages = ("buildah",) if own else ("buildah", "podman", "conmon", "crun", "netavark")
    context = Context(folders=locate(os.environ, Path.home()), runner=process.run, say=lambda _: None)
    target = context.folders.tools / f"containers-{suite}"
    if not target.exists():
        with exclusive(context):
            if not target.exists():
                empty_scratch(context.folders)
                install = partial(_install, Worlds(context), suite, packages, target)
                complete(target, install, context.folders)
    return target


def _install(worlds: Worlds, suite: str, names: tuple[str, ...], target: Path, folder: Path) -> None:
    (folder / "lib").mkdir(parents=True)
    world = worlds.open(suite, machine.architecture())
    own = worlds.open(machine.debian_codename(), machine.architecture())
    packages = [*_libraries(world, names), *world.fetch_only(names)]
    for package in (*packages, *own.fetch_only(("uidmap", "patchelf"))):
        _unpack(package, folder)
    _patch(folder, target)


def _patch(folder: Path, target: Path) -> None:
    """Have the programs in ``folder``, which will be at ``target``, take the libraries beside them."""
    (loader,) = (path.name for path in (folder / "lib").glob("ld-linux-*.so.*"))
    for name in filter(lambda name: (folder / name).exists(), _LINKED):
        options = ("--set-interpreter", target / "lib" / loader, "--force-rpath", "--set-rpath", target / "lib")
        subprocess.run([str(word) for word in (folder / "patchelf", *options, folder / name)], check=True)


def _libraries(world: World, names: tuple[str, ...]) -> list[Path]:
    needed = [path for path in world.fetch(names) if path.name.startswith("lib")]
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

"""The stand-in engine: `dockerd` with a containerd of its own, on a socket of its own. [io]"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path

from .errors import HostError
from .folders import Folders
from .process import Runner, Service, find_marked, is_ours, stop

SHIM = "containerd-shim-runc-v2"


def render_configuration(folders: Folders, registry: str, data: Path) -> str:
    """Return the configuration of an engine that keeps its data in `data`."""
    settings = {
        "data-root": str(data),
        "exec-root": str(exec_root(folders)),
        "pidfile": str(own_pid_file(folders)),
        "hosts": [f"unix://{folders.socket}"],
        "features": {"containerd-snapshotter": True},
        # Docker's own names lead to the stand-ins.
        "registry-mirrors": [f"http://{registry}"],
        # A bridge of our own, and no rules for the packet filter: the machine's network stays as it is, and a RUN
        # has none but with `--network=host`.
        "bridge": bridge_name(folders),
        "userland-proxy": False,
        "iptables": False,
        "ip6tables": False,
        "builder": {"gc": {"enabled": True, "defaultKeepStorage": "20GB"}},
    }
    return json.dumps(settings, indent=2) + "\n"


def new_data(folders: Folders) -> Path:
    """Return a folder for an engine's data that no engine has used.

    Databases in it are locked by whoever opened them, and an engine that is being killed, or that runs where we cannot
    see it, may hold them for long: an engine never takes over another's data.
    """
    return folders.engine / secrets.token_hex(4)


def known_data(configuration: Path) -> Path | None:
    """Return the folder that a written configuration names."""
    try:
        return Path(json.loads(configuration.read_bytes())["data-root"])
    except (OSError, ValueError, KeyError):
        return None


def exec_root(folders: Folders) -> Path:
    """Return where the engine keeps what does not outlive it."""
    return folders.sockets / "exec"


def own_pid_file(folders: Folders) -> Path:
    """Return where the engine itself records its process."""
    return folders.sockets / "docker.pid"


def bridge_name(folders: Folders) -> str:
    """Return the name of our bridge; an interface's name has at most 15 characters."""
    return f"bo-{folders.short_id}"


def service(folders: Folders, programs: tuple[Path, ...]) -> Service:
    """Return the engine as a service; `programs` are the folders with its programs and those that it starts."""
    configuration = folders.run / "dockerd.json"
    path = os.pathsep.join([*(str(folder) for folder in programs), os.environ.get("PATH", os.defpath)])
    return Service(
        name="dockerd",
        argv=(str(programs[0] / "dockerd"), "--config-file", str(configuration)),
        marker=str(configuration),
        pid_file=folders.run / "dockerd.pid",
        log=folders.run / "dockerd.log",
        env={"PATH": path},
    )


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def is_ready(path: Path) -> bool:
    """Whether the engine answers on its socket."""
    connection = _SocketConnection(path)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def stop_children(folders: Folders) -> list[str]:
    """End what an engine that was killed has left: its containerd, and the shims of its containers."""
    ended = []
    containerd = exec_root(folders) / "containerd"
    ended += ["containerd" for pid in find_marked("containerd", str(containerd)) if stop(pid, str(containerd))]
    address = str(containerd / "containerd.sock")
    for pid in find_marked(SHIM, address):
        _kill_group(pid, address)
        ended.append(f"a container (shim {pid})")
    return ended


def _kill_group(shim: int, address: str) -> None:
    """End a shim; what runs in its container is its child, and ends with it."""
    children = Path(f"/proc/{shim}/task/{shim}/children")
    with suppress(OSError, ValueError):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
    if is_ours(shim, address):
        stop(shim, address)


def leftover_mounts(mountinfo: str, folders: Folders) -> list[str]:
    """Return the engine's mount points in `/proc/self/mountinfo`, the innermost first."""
    ours = (str(folders.engine), str(folders.sockets))
    points = (re.sub(r"\\([0-7]{3})", _octal, line.split()[4]) for line in mountinfo.splitlines())
    below = tuple(f"{folder}/" for folder in ours)
    return sorted((point for point in points if point in ours or point.startswith(below)), key=len, reverse=True)


def _octal(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def unmount(folders: Folders, runner: Runner) -> list[str]:
    """Unmount what the engine has left, and return what that was."""
    points = leftover_mounts(Path("/proc/self/mountinfo").read_text(), folders)
    return [point for point in points if runner(["umount", "--lazy", point]).code == 0]


PROBE = """\
FROM busybox:1.36-glibc
RUN uname -m > /machine
"""


def discard(folders: Folders) -> None:
    """Remove what engines that have ended have left in files."""
    for folder in (folders.engine, folders.sockets):
        # What cannot be removed is in nobody's way: the next engine has a folder of its own.
        shutil.rmtree(folder, ignore_errors=True)


def probe(registry: str, folder: Path, runner: Runner, env: dict[str, str]) -> None:
    """Build one small image for both platforms and push it, or raise: a base, RUN, an OCI layout, the registry."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(PROBE)
    build = ("docker", "buildx", "build", "--quiet", "--provenance=false", "--platform=linux/amd64,linux/arm64")
    outputs = (
        ("--no-cache", f"--output=type=oci,dest={folder / 'probe.tar'}"),
        (f"--output=type=image,name={registry}/host/probe:latest,push=true",),
    )
    for arguments in outputs:
        result = runner([*build, *arguments, str(folder)], env=env, timeout=300)
        if result.code:
            raise HostError("the engine cannot build a small image for both platforms", detail=result.err)

"""[io] Docker engines beside that of the test host, each with data of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.testhost import bridge
from scripts.testhost.folders import locate
from tests.e2e.harness import Host

_PATIENCE = 60
_INIT = """\
#!/bin/sh
# Called as `docker-init -- PROGRAM ...`, in containers that are to have one.
shift
exec "$@"
"""


@contextmanager
def classic_dockerd(host: Host) -> Iterator[tuple[str, ...]]:
    """Run a Docker engine that keeps images in its own way, not in containerd's; give the options that lead to it."""
    with dockerd(host, keeps_in_containerd=False) as address:
        yield ("--host", address)


@contextmanager
def dockerd(host: Host, *, keeps_in_containerd: bool) -> Iterator[str]:
    """Run a Docker engine; give its address. Docker's own names lead it to the host's registry."""
    tools = locate(os.environ, Path.home()).tools
    folders = [str(folder) for folder in (*tools.glob("engine-*"), tools / "runtime") if folder.is_dir()]
    path = os.pathsep.join([*folders, host.environment.get("PATH", os.defpath)])
    program = shutil.which("dockerd", path=path)
    assert program, "there is no dockerd on this machine"
    with tempfile.TemporaryDirectory(prefix="bo-", ignore_cleanup_errors=True) as name:
        folder, network = Path(name), f"bo-{secrets.token_hex(4)}"
        address = f"unix://{folder}/docker.sock"
        settings = {
            "data-root": f"{folder}/data",
            "exec-root": f"{folder}/exec",
            "pidfile": f"{folder}/docker.pid",
            "hosts": [address],
            "features": {"containerd-snapshotter": keeps_in_containerd},
            "registry-mirrors": [f"http://{host.registry}"],
            "bridge": network,
            "userland-proxy": False,
            "iptables": False,
            "ip6tables": False,
            "init-path": f"{folder}/init",
        }
        if not keeps_in_containerd:
            settings["storage-driver"] = "overlay2"
        (folder / "dockerd.json").write_text(json.dumps(settings))
        (folder / "init").write_text(_INIT)
        (folder / "init").chmod(0o755)
        bridge.ensure(network)
        with (folder / "log").open("wb") as log:
            engine = subprocess.Popen(
                [program, "--config-file", f"{folder}/dockerd.json"],
                env={**host.environment, "PATH": path},
                stdout=log,
                stderr=log,
            )
        try:
            driver = "overlayfs" if keeps_in_containerd else "overlay2"
            assert _await_engine(host, address, engine, folder / "log") == driver
            yield address
        finally:
            engine.terminate()
            engine.wait(_PATIENCE)
            bridge.remove(network)
            _unmount(folder)


def _unmount(folder: Path) -> None:
    """Unmount what an engine that has ended leaves: the network's own namespace, kept under a name."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((place for place in mounted if place.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=True)


def _await_engine(host: Host, address: str, engine: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for the engine's answer; return how it stores images."""
    until = time.monotonic() + _PATIENCE
    while host.run("docker", "--host", address, "version").code:
        assert engine.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < until, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)
    return host.demand("docker", "--host", address, "info", "--format", "{{.Driver}}").strip()

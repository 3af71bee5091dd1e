"""[io] What the machine and the programs are, for whoever reads the results."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from buildonce import __version__


def machine_facts(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return facts by name."""
    driver = re.search(r"^Driver:\s*(\S+)", _ask(environment, "docker", "buildx", "inspect"), re.MULTILINE)
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": _system(),
        "Python": platform.python_version(),
        "buildonce": __version__,
        "buildx": " ".join(_ask(environment, "docker", "buildx", "version").split()[1:2]),
        "engine": f"Docker {_ask(environment, 'docker', 'version', '--format={{.Server.Version}}')}",
        "driver": driver[1] if driver else "unknown",
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _ask(environment: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    return done.stdout.strip()

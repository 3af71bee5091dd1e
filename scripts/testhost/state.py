"""The record of a test host that is up, and what it says to those who use it. [io]"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from .decide import Kind
from .folders import Folders

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is up; `is_ephemeral` if the last `run` is to take it down again."""

    kind: Kind
    registry: str
    is_ephemeral: bool = False
    container: str = ""
    engine: str = ""


def load(path: Path) -> State | None:
    """Return the record, or None if nothing is up or an older version wrote it."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.pop("version", None) != VERSION:
        return None
    return State(**{**record, "kind": Kind(record["kind"])})


def save(path: Path, state: State) -> None:
    """Write the record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"version": VERSION, **asdict(state), "kind": state.kind.value}) + "\n")
    temporary.replace(path)


def variables(state: State, folders: Folders) -> dict[str, str]:
    """Return the variables that lead a process to the test host, but for PATH."""
    own = {"BUILDONCE_HOST_REGISTRY": state.registry}
    if state.kind is Kind.STAND_INS:
        own |= {
            "BUILDONCE_MIRRORS": f"docker.io=http://{state.registry}",
            "DOCKER_CONFIG": str(folders.docker_config),
            "DOCKER_HOST": f"unix://{folders.socket}",
        }
    return own


def client_folder(state: State, folders: Folders) -> Path | None:
    """Return the folder that comes first in the PATH of those who use the host, if there is one."""
    return folders.client if state.kind is Kind.STAND_INS else None


def environment(state: State, folders: Folders, path: str) -> dict[str, str]:
    """Return all variables for a process whose PATH would be `path`."""
    client = client_folder(state, folders)
    if client is None:
        return variables(state, folders)
    rest = [folder for folder in path.split(os.pathsep) if folder != str(client)]
    return {**variables(state, folders), "PATH": os.pathsep.join([str(client), *rest])}


def render_exports(state: State, folders: Folders) -> str:
    """Return lines for a shell to evaluate; they add to the shell's own PATH, whatever it is."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables(state, folders).items()]
    client = client_folder(state, folders)
    if client is not None:
        lines.append(f'export PATH={shlex.quote(str(client))}:"$PATH"')
    return "\n".join(lines)

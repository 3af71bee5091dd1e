"""Where the test host keeps what it fetched, built and runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Every path of one test host; all below `root` but the sockets, whose paths must stay short."""

    root: Path
    sockets: Path

    @property
    def lock(self) -> Path:
        """Held while the host is being changed."""
        return self.root / "lock"

    @property
    def in_use(self) -> Path:
        """Held, shared, by every `run`, so that the last one can tell that it is the last."""
        return self.root / "in-use"

    @property
    def scratch(self) -> Path:
        """What is being written; renamed into place when complete, and emptied by the next `up`."""
        return self.root / "tmp"

    @property
    def apt(self) -> Path:
        """Package lists and archives, a folder per suite and architecture."""
        return self.root / "apt"

    @property
    def tools(self) -> Path:
        """Programs taken out of packages."""
        return self.root / "tools"

    @property
    def client(self) -> Path:
        """A folder with the Docker client alone, for the caller's PATH."""
        return self.root / "client"

    @property
    def docker_config(self) -> Path:
        """The Docker client's own configuration, so that the user's stays untouched."""
        return self.root / "docker-config"

    @property
    def stand_ins(self) -> Path:
        """Image layouts, one per version of the recipe."""
        return self.root / "stand-ins"

    @property
    def registry(self) -> Path:
        """The registry's storage."""
        return self.root / "registry"

    @property
    def engine(self) -> Path:
        """The data of engines, a folder for each that was started."""
        return self.root / "engine"

    @property
    def run(self) -> Path:
        """Configurations, process ids, logs and the record of what is up."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        """The engine's API."""
        return self.sockets / "docker.sock"

    @property
    def short_id(self) -> str:
        """A few characters that tell this host from one in another folder."""
        return short_id(self.root)


def locate(environ: Mapping[str, str], home: Path) -> Folders:
    """Return the folders that the environment asks for."""
    chosen = environ.get("BUILDONCE_HOST_DIR")
    cache = environ.get("XDG_CACHE_HOME")
    root = Path(chosen) if chosen else (Path(cache) if cache else home / ".cache") / "buildonce-host"
    root = root.absolute()
    # A Unix socket's path has at most 107 bytes, and the engine appends to it.
    return Folders(root=root, sockets=Path("/run") / f"buildonce-host-{short_id(root)}")


def short_id(root: Path) -> str:
    """Return eight hexadecimal characters that depend on the folder alone."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:8]

"""Files that declare images, told apart by their names."""

from __future__ import annotations

from pathlib import PurePath


def kind_of(file: PurePath) -> str:
    """Return what kind of file this is: ``bake``, ``Compose``, ``toml`` or ``Dockerfile``."""
    if file.name.startswith(("Dockerfile.", "Containerfile.")):
        return "Dockerfile"
    match file.suffix:
        case ".toml":
            return "toml"
        case ".hcl" | ".json":
            return "bake"
        case ".yaml" | ".yml":
            return "Compose"
        case _:
            return "Dockerfile"

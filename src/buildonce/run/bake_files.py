"""[io] Bake files on disk: found, and resolved by buildx, or by ourselves where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildonce.engines.process import run_process
from buildonce.engines.programs import buildx_command
from buildonce.errors import ConfigurationError
from buildonce.project.bake import PRINTED, declare_bake, read_bake
from buildonce.project.bake_resolution import resolve_bake
from buildonce.project.declaration import Declaration
from buildonce.project.hcl_documents import read_hcl
from buildonce.project.json_documents import read_json
from buildonce.project.values import LONGEST_DOCUMENT, Value

BAKE_FILES = ("docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl")
"""The files that bake reads where none is named, in its order: a later one overrides."""

_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""What bake reads before them (docker/buildx, bake/bake.go, `defaultFilenames`)."""

_FILES_SETTING = "BUILDX_BAKE_FILE"
_PATIENCE = 60


def find_bake_files(folder: Path) -> tuple[Path, ...]:
    """Return the bake files that ``folder`` has, in the order in which bake reads them."""
    return tuple(folder / name for name in BAKE_FILES if (folder / name).is_file())


async def load_bake(
    folder: Path, *, environment: Mapping[str, str], files: Sequence[Path] = (), targets: Sequence[str] = ()
) -> Declaration:
    """Return the variants of the bake files in a project's folder; paths in it are relative to that folder.

    ``files`` are relative to the folder; where none is named, they are those that `docker buildx bake` reads there,
    Compose files among them. ``targets`` are groups and targets; none means the group ``default``. buildx resolves the
    files, with the variables of ``environment``. Without it, they are resolved here. Raises
    `ConfigurationError`.
    """
    paths = tuple(folder / path for path in files)
    for path in paths:
        if not path.is_file():
            raise ConfigurationError(f"there is no bake file {path}")
    command = buildx_command(environment)
    printed = await _print(command, folder, paths, targets, environment) if command else None
    if printed is not None:
        named = ", ".join(path.name for path in paths or find_bake_files(folder))
        return read_bake(printed, files=named)
    return await asyncio.to_thread(_resolve, paths or _default_files(folder, environment), targets, environment)


async def _print(
    command: tuple[str, ...],
    folder: Path,
    files: Sequence[Path],
    targets: Sequence[str],
    environment: Mapping[str, str],
) -> bytes | None:
    """Return the document that buildx prints; None where there is a `docker` without buildx.

    Raises `ConfigurationError` with buildx's own words when it refuses.
    """
    argv = [*command, "bake", "--print", "--progress=quiet"]
    argv += [f"--file={path.absolute()}" for path in files]
    lines: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            status = await run_process(
                (*argv, "--", *targets), environment=environment, on_line=lines.append, folder=folder
            )
            if status != 0 and await run_process((*command, "version"), environment=environment, on_line=_ignore) != 0:
                return None
    except TimeoutError as error:
        raise ConfigurationError(f"`docker buildx bake --print` did not end within {_PATIENCE} seconds") from error
    if status != 0:
        raise ConfigurationError(
            f"buildx cannot read the bake files: `docker buildx bake --print` ended with status {status}",
            notes=tuple(line for line in lines if line.strip())[-8:],
            help="`docker buildx bake --print` says the same; correct the file that it names",
        )
    return _document(lines)


def _ignore(line: str) -> None:
    """Take no notice of a line of output."""


def _document(lines: Sequence[str]) -> bytes:
    """Return the JSON object among lines of output, which may begin with warnings. Raises `ConfigurationError`."""
    try:
        start = lines.index("{")
        end = lines.index("}", start)
    except ValueError as error:
        raise ConfigurationError(
            f"{PRINTED} is no JSON document", notes=tuple(lines[:3]), help="update Docker's buildx"
        ) from error
    return "\n".join(lines[start : end + 1]).encode(errors="surrogateescape")


def _default_files(folder: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files to resolve without buildx if none is named; raise `ConfigurationError` where others count."""
    found = find_bake_files(folder)
    names = ", ".join(path.name for path in found)
    if environment.get(_FILES_SETTING):
        raise ConfigurationError(
            f"{_FILES_SETTING} is not read without buildx", help="install Docker's buildx, or name the bake files"
        )
    if not found:
        raise ConfigurationError(
            f"there is no bake file in {folder}", help=f"bake files are called {', '.join(BAKE_FILES)}"
        )
    if beside := [name for name in _COMPOSE_FILES if (folder / name).is_file()]:
        raise ConfigurationError(
            f"`docker buildx bake` merges {beside[0]} with {names}, which is not possible without buildx",
            help="install Docker's buildx, or name the bake files that count",
        )
    return found


def _resolve(files: Sequence[Path], targets: Sequence[str], environment: Mapping[str, str]) -> Declaration:
    path = ", ".join(path.name for path in files)
    documents = [_read(one) for one in files]
    return declare_bake(resolve_bake(documents, targets, environment, path=path), path=path)


def _read(path: Path) -> Value:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_DOCUMENT + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    return read_json(content, path.name) if path.suffix.lower() == ".json" else read_hcl(content, path.name)

"""[io] What a project has already that declares its images: a bake file, a Compose file, or its Dockerfiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from buildonce.dockerfile.stages import resolve_stages
from buildonce.dockerfile.syntax import Dockerfile
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.plan.variants import default_variants
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.file_kinds import kind_of
from buildonce.run.bake_files import find_bake_files, load_bake
from buildonce.run.compose_files import find_compose_file, load_compose
from buildonce.run.project import FileOrder, load_files

_PATTERNS = ("Dockerfile", "Dockerfile.*", "*.Dockerfile", "*.dockerfile", "Containerfile", "Containerfile.*")
_ANY = Platform(os="linux", architecture="amd64")


class Found(Struct, frozen=True, kw_only=True):
    """A declaration, and what messages call the file that it was read from."""

    source: str
    declaration: Declaration


async def find_declared(folder: Path, files: Sequence[Path], environment: Mapping[str, str]) -> Found:
    """Return what the folder's files declare, or these ``files``, which are relative to it. Raises `UsageError`."""
    if not files:
        return await _find(folder, environment)
    kinds = {kind_of(file) for file in files}
    if len(kinds) > 1:
        raise UsageError(f"{_listed(files)} are of several kinds", help="name files of one kind")
    match kinds.pop():
        case "bake":
            declaration = await load_bake(folder, environment=environment, files=files)
        case "Compose":
            if len(files) > 1:
                raise UsageError("several Compose files are not merged", help="name one of them")
            declaration = load_compose(folder, environment=environment, file=files[0])
        case _:
            declaration = _read_dockerfiles(folder, files)
    return Found(source=_listed(files), declaration=declaration)


async def _find(folder: Path, environment: Mapping[str, str]) -> Found:
    bake, compose = find_bake_files(folder), find_compose_file(folder)
    if bake and compose:
        raise UsageError(
            f"{bake[0].name} and {compose.name} both declare images", help=f"name one of them: --from {bake[0].name}"
        )
    if bake:
        declaration = await load_bake(folder, environment=environment)
        return Found(source=_listed(bake), declaration=declaration)
    if compose:
        return Found(source=compose.name, declaration=load_compose(folder, environment=environment))
    dockerfiles = _find_dockerfiles(folder)
    if not dockerfiles:
        raise UsageError(
            "there is no Dockerfile here, and no bake or Compose file",
            help="run this in the project's folder, or name a file: --from FILE",
        )
    return Found(source=_listed(dockerfiles), declaration=_read_dockerfiles(folder, dockerfiles))


def _find_dockerfiles(folder: Path) -> Sequence[Path]:
    """Return the names of the Dockerfiles in a folder."""
    names = {Path(path.name) for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file()}
    return sorted(name for name in names if name.suffix != ".dockerignore")


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files)


def _read_dockerfiles(folder: Path, files: Sequence[Path]) -> Declaration:
    """Return the final stages of these Dockerfiles as variants."""
    project = load_files([FileOrder(dockerfile=folder / file, context=folder) for file in files])
    graphs = [
        resolve_stages(one.dockerfile, build_args={}, target_platform=_ANY, build_platform=_ANY)
        for one in project.files
    ]
    variants = default_variants(graphs, [one.folder for one in project.files], (_ANY,))
    return Declaration(
        variants=tuple(
            VariantDeclaration(
                name=one.name, dockerfile=str(files[one.file]), target=_target(graphs[one.file].dockerfile, one.stage)
            )
            for one in variants
        )
    )


def _target(dockerfile: Dockerfile, stage: int) -> str | None:
    """Return what a stage is called as a target: by its name, not at all if it is the last, else by its number."""
    return dockerfile.stages[stage].name or (None if stage == len(dockerfile.stages) - 1 else str(stage))

"""A declaration becomes Dockerfiles on disk, each read once, and variants of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.errors import UsageError
from buildonce.oci import parse_platform
from buildonce.plan.sources import FolderContext
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.run.declared import load_declared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "data").mkdir(parents=True)
    (tmp_path / "Dockerfile").write_text("FROM scratch AS one\nFROM scratch AS two\n")
    (tmp_path / "images" / "Dockerfile.three").write_text("FROM scratch AS three\n")
    return tmp_path


def test_variants_that_differ_in_the_target_alone_share_a_source_file(folder: Path) -> None:
    variants = (
        VariantDeclaration(name="one", target="one"),
        VariantDeclaration(name="two", target="two", platforms=("linux/arm64",)),
        VariantDeclaration(name="other", target="two", args={"A": "1"}),
        VariantDeclaration(name="three", dockerfile="images/Dockerfile.three", context="images"),
    )
    project, declared = load_declared(Declaration(variants=variants), folder)
    assert [one.file for one in declared] == [0, 0, 1, 2]
    assert [one.target for one in declared] == ["one", "two", "two", None]
    assert declared[1].platforms == (parse_platform("linux/arm64"),)
    assert project.files[0].dockerfile is project.files[1].dockerfile
    assert project.contexts[0] is project.contexts[1]
    assert project.context_root(2) == folder / "images"
    assert [file.folder for file in project.files] == [folder.name, folder.name, "images"]


def test_a_variant_has_its_arguments_and_contexts(folder: Path) -> None:
    variant = VariantDeclaration(name="one", args={"A": "own"}, contexts={"x": "images/data"})
    project, _ = load_declared(Declaration(variants=(variant,)), folder)
    (file,) = project.files
    assert file.build_args == {"A": "own"}
    data = file.named_contexts["x"]
    assert isinstance(data, FolderContext)
    assert data.path == str(folder / "images" / "data")


def test_a_folder_that_is_a_context_twice_is_opened_once(folder: Path) -> None:
    variants = [VariantDeclaration(name=name, args={"N": name}, contexts={"x": "images"}) for name in ("one", "two")]
    project, _ = load_declared(Declaration(variants=tuple(variants)), folder)
    assert project.files[0].named_contexts["x"] is project.files[1].named_contexts["x"]


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (VariantDeclaration(name="x", dockerfile="Dockerfil"), "there is no Dockerfile at"),
        (VariantDeclaration(name="x", context="image"), "there is no folder"),
        (
            VariantDeclaration(name="x", contexts={"a": "imagse"}),
            "there is no folder `imagse` for the named context `a`",
        ),
    ],
)
def test_what_is_not_there_is_said(folder: Path, variant: VariantDeclaration, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_declared(Declaration(variants=(variant,)), folder)

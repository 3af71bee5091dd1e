"""Bake documents as declarations; what cannot be, with its message; and documents that nobody honest writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from buildonce.build_options import BuildOptions
from buildonce.errors import UsageError
from buildonce.project.bake import read_bake, read_printed
from buildonce.project.bake_keys import EXPRESSED, NOT_YET, PASSED_OVER
from buildonce.project.build_settings import BuildSettings
from buildonce.project.declaration import VariantDeclaration
from tests.project.bake_documents import Json
from tests.project.resolving import message

PRINTED: Json = {
    "group": {"default": {"targets": ["apps", "tools"]}, "apps": {"targets": ["app"]}},
    "target": {
        "app": {
            "context": "src",
            "dockerfile": "../Dockerfile",
            "contexts": {"assets": "./assets/", "base": "docker-image://alpine:3.20"},
            "args": {"A": "1", "RAW": "$${HOME} %%{x} $$${y}"},
            "target": "app",
            "platforms": ["linux/amd64", "linux/arm64"],
            "tags": ["registry.example/acme/app:1", "registry.example/acme/app"],
            "cache-from": [{"type": "gha"}],
            "output": [{"type": "registry"}],
            "pull": True,
            "no-cache": False,
        },
        "tools": {"context": ".", "dockerfile": "Dockerfile"},
        "linked": {"context": ".", "dockerfile": "Dockerfile", "labels": {"only": "linked"}},
    },
}


def printed(target: Json, **others: Json) -> bytes:
    """Return what bake prints for this target and others that it is linked with."""
    group = {"default": {"targets": ["app"]}}
    return json.dumps({"group": group, "target": {"app": target, **others}}).encode()


def test_a_printed_document_becomes_variants() -> None:
    assert read_bake(json.dumps(PRINTED).encode()).variants == (
        VariantDeclaration(
            name="app",
            dockerfile="Dockerfile",
            context="src",
            target="app",
            args={"A": "1", "RAW": "${HOME} %{x} $${y}"},
            contexts={"assets": "assets", "base": "docker-image://alpine:3.20"},
            platforms=("linux/amd64", "linux/arm64"),
            tags=("1", "latest"),
            push="registry.example/acme/app",
            build=BuildSettings(options=BuildOptions(cache_from=("type=gha",))),
        ),
        VariantDeclaration(name="tools"),
    )


def test_every_key_of_a_target_has_one_meaning() -> None:
    names = [*EXPRESSED, *PASSED_OVER, *NOT_YET]
    assert len(names) == len(set(names))
    assert all(reason for reason in (*PASSED_OVER.values(), *NOT_YET.values()))


@pytest.mark.parametrize("key", PASSED_OVER)
def test_a_key_that_changes_no_image_is_passed_over(key: str) -> None:
    assert read_bake(printed({key: ["anything"]})) == read_bake(printed({}))


@pytest.mark.parametrize("key", NOT_YET)
def test_a_key_that_is_not_expressed_is_an_error_that_names_it(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_bake(printed({key: "anything"}))
    assert message(caught.value) == (
        f"`{key}` of a bake target cannot be expressed yet\n"
        f"  = note: what `docker buildx bake --print` prints, target.app.{key}\n"
        f"help: {NOT_YET[key]}"
    )
    empty: tuple[Any, ...] = ([], {}, "", None, False)
    assert all(read_bake(printed({key: value})) == read_bake(printed({})) for value in empty)


WRONG_PRINTED: Mapping[str, tuple[Json, str]] = {
    "an unknown key": (
        {"argz": {}},
        (
            "`argz` of a bake target is not known, so what it does to the image is not either\n"
            "  = note: P, target.app.argz\nhelp: did you mean `args`?"
        ),
    ),
    "several repositories": (
        {"tags": ["r.io/a:1", "ghcr.io/a:1"]},
        (
            "the image goes to several repositories: r.io/a, ghcr.io/a\n  = note: P, target.app.tags\n"
            "help: keep the tags of one of them, and copy the released image to the others"
        ),
    ),
    "a tag that is none": (
        {"tags": ["r.io/a:?"]},
        (
            "`?` in `r.io/a:?` is not a tag\n  = note: P, target.app.tags\n"
            "help: a tag has letters, digits, `_`, `.` and `-`, at most 128"
        ),
    ),
    "a digest": (
        {"tags": ["r.io/a@sha256:" + "0" * 64]},
        (
            f"`r.io/a@sha256:{'0' * 64}` has a digest, which nobody knows before the image is built\n"
            "  = note: P, target.app.tags"
        ),
    ),
    "a context elsewhere": (
        {"context": "https://github.com/acme/app.git"},
        (
            "the context `https://github.com/acme/app.git` is elsewhere, and only a folder here can be one\n"
            "  = note: P, target.app.context\nhelp: clone or download it, and name the folder"
        ),
    ),
    "a context from standard input": (
        {"context": "-"},
        "a context from standard input is not read\n  = note: P, target.app.context\nhelp: name a folder",
    ),
    "a Dockerfile from standard input": (
        {"dockerfile": "-"},
        "a Dockerfile from standard input is not read\n  = note: P, target.app.dockerfile\nhelp: name a file",
    ),
    "the result of a target that is not there": (
        {"contexts": {"base": "target:linkde"}},
        (
            "the context `base` is the result of `linkde`, which is no target\n"
            "  = note: P, target.app.contexts.base\nhelp: did you mean `linked`?"
        ),
    ),
    "its own result": (
        {"contexts": {"base": "target:app"}},
        (
            "the context `base` is a result that is made from itself: app -> app\n"
            "  = note: P, target.app.contexts.base\nhelp: take the target out of its own `contexts`"
        ),
    ),
    "a platform that is none": (
        {"platforms": ["amd64"]},
        (
            "`amd64` is not a platform\n  = note: P, target.app.platforms\n"
            "help: write it as os/architecture, such as linux/arm64"
        ),
    ),
    "an argument's name that is none": (
        {"args": {"A=B": "1"}},
        (
            "`A=B` is not the name of a build argument\n  = note: P, target.app.args.A=B\n"
            "help: it is the name that ARG gives it in the Dockerfile"
        ),
    ),
    "several faults": (
        {"context": 1, "args": {"A": 1}, "platforms": "linux/amd64", "target": [], "ssh": "default"},
        (
            "5 things are wrong in P\n"
            "  = note: P, target.app.context: a number stands where a text is needed\n"
            "  = note: P, target.app.target: a list stands where a text is needed\n"
            "  = note: P, target.app.args.A: a number stands where a text is needed\n"
            "  = note: P, target.app.platforms: a text stands where a list of texts is needed\n"
            "  = note: P, target.app.ssh: a text stands where something else is needed"
        ),
    ),
}


@pytest.mark.parametrize(("target", "said"), WRONG_PRINTED.values(), ids=WRONG_PRINTED)
def test_what_cannot_be_expressed_is_said(target: Json, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_bake(printed(target, linked={"target": "x"}, same={"target": "builder"}), path="P")
    assert message(caught.value) == said


def test_what_bake_prints_has_a_form() -> None:
    with pytest.raises(UsageError, match="a text stands where a mapping is needed"):
        read_printed(b'{"target": "x"}')
    with pytest.raises(UsageError, match="there is no target `app`"):
        read_bake(b'{"group": {"default": {"targets": ["app"]}}}')

"""Bake files, resolved by ourselves and by a real `docker buildx bake --print`."""

from __future__ import annotations

import json
import os
import posixpath
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildonce.engines.programs import buildx_command
from buildonce.errors import UsageError
from buildonce.project.bake import declare_bake, read_bake, read_printed
from buildonce.project.bake_keys import EXPRESSED, NOT_YET, has_effect
from buildonce.project.bake_options import KEYS as OPTIONS
from buildonce.project.bake_options import read_options
from buildonce.project.bake_resolution import Resolved, resolve_bake
from buildonce.project.findings import Findings
from buildonce.project.json_documents import read_json
from buildonce.run.bake_files import load_bake
from tests.project.bake_documents import CASES, Case, default, one, variables

pytestmark = pytest.mark.host

FROM_HCL = """\
variable "TAG" { default = "dev" }
group "default" { targets = ["app", "tools"] }
target "app" {
  name = "app-${replace(v, ".", "-")}"
  matrix = { v = ["1.0", "2.0"] }
  args = { VERSION = v, RAW = "$${HOME}" }
  tags = ["registry.example/acme/app:${v}-${TAG}"]
}
target "tools" {
  context = "tools"
  dockerfile = "Dockerfile.tools"
  target = upper("x")
  platforms = ["linux/amd64", "linux/arm64"]
}
"""


def environment() -> dict[str, str]:
    return dict(os.environ)


def printed(case: Case, folder: Path) -> bytes | None:
    """Return what buildx makes of a case, None when it refuses."""
    command = buildx_command(os.environ)
    assert command, 'no buildx: run `scripts/host up` and `eval "$(scripts/host env)"`'
    for name, document in case.files.items():
        (folder / name).write_text(json.dumps(document))
    argv = [*command, "bake", "--print", "--progress=quiet", *case.wanted]
    done = subprocess.run(argv, cwd=folder, env={**os.environ, **case.environment}, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def ours(case: Case) -> Resolved:
    documents = [read_json(json.dumps(document).encode(), name) for name, document in sorted(case.files.items())]
    return resolve_bake(documents, case.wanted, case.environment, path="docker-bake.json")


def comparable(resolved: Resolved) -> Mapping[str, Any]:
    """Return what counts: bake orders the targets of a matrix by chance, tidies paths, and leaves out what is empty."""
    targets = {
        name: {
            **{key: target.get(key) for key in EXPRESSED if target.get(key) and key not in OPTIONS},
            "build": read_options(target, (name,), Findings("")),
            "context": posixpath.normpath(str(target.get("context"))),
            "not yet": {key for key, value in target.items() if key in NOT_YET and has_effect(key, value)},
        }
        for name, target in resolved.targets.items()
    }
    return {"wanted": sorted(resolved.wanted), "targets": targets}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_our_resolution_is_that_of_buildx(case: Case, tmp_path: Path) -> None:
    theirs = printed(case, tmp_path)
    assert theirs is not None
    assert comparable(ours(case)) == comparable(read_printed(theirs))


NAMES = st.sampled_from(["a", "b", "c"])
TEXTS = st.one_of(
    st.sampled_from(["x", "${V}", "${W}", "p-${V}", "$${V}", "$$${W}", "%%{V}", "${V}${W}", "", "$", "é"]),
    st.text(alphabet="xV$ {}%", max_size=6),
)
SCALARS = st.one_of(TEXTS, st.booleans(), st.none(), st.integers(-1000, 1000), st.sampled_from([0.5, 1.25, 1e3, 1e-3]))
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "context": TEXTS,
        "target": SCALARS,
        "args": st.dictionaries(NAMES, SCALARS, max_size=3),
        "contexts": st.dictionaries(NAMES, st.sampled_from(["", "./x", "docker-image://y"]), max_size=2),
        "tags": st.none() | st.lists(st.sampled_from(["r.io/a:1", "r.io/a:${V}", "r.io/a:2"]), max_size=3),
        "inherits": st.lists(st.sampled_from(["p", "q"]), max_size=2, unique=True),
        "no-cache": st.booleans(),
        "labels": st.dictionaries(NAMES, st.sampled_from(["1", None]), max_size=1),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> Case:
    parents = {"p": draw(TARGETS), "q": draw(TARGETS)}
    for parent in parents.values():
        parent.pop("inherits", None)
    matrix = draw(st.dictionaries(st.sampled_from(["V", "k"]), st.lists(st.sampled_from(["1", "2", 3]), max_size=2)))
    name = "-".join(["m", *(f"${{{key}}}" for key in matrix)])
    targets = {**parents, "t": draw(TARGETS), "m": {**draw(TARGETS), "name": name, "matrix": matrix}}
    members = draw(st.lists(st.sampled_from(["t", "m", "p", "g"]), min_size=1, max_size=3))
    groups = {"default": {"targets": members}, "g": {"targets": ["q"]}}
    document = {**variables(V=draw(SCALARS), W=draw(SCALARS)), "group": groups, "target": targets}
    setting = draw(
        st.dictionaries(st.sampled_from(["V", "W"]), st.sampled_from(["1", "true", "x", "1.50"]), max_size=2)
    )
    return one(document, **setting)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_random_documents_are_resolved_as_buildx_does(case: Case) -> None:
    """buildx looks at everything, we at what is wanted: what it resolves we do, and what we refuse it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = printed(case, Path(folder))
    if theirs is not None:
        assert comparable(ours(case)) == comparable(read_printed(theirs))


async def test_hcl_is_resolved_by_buildx(tmp_path: Path) -> None:
    (tmp_path / "docker-bake.hcl").write_text(FROM_HCL)
    declaration = await load_bake(tmp_path, environment={**os.environ, "TAG": "v7"})
    found = {variant.name: variant for variant in declaration.variants}
    assert set(found) == {"app-1-0", "app-2-0", "tools"}
    app, tools = found["app-1-0"], found["tools"]
    assert (app.push, app.tags, app.args) == (
        "registry.example/acme/app",
        ("1.0-v7",),
        {"VERSION": "1.0", "RAW": "${HOME}"},
    )
    assert (tools.dockerfile, tools.context, tools.target) == ("tools/Dockerfile.tools", "tools", "X")
    assert tools.platforms == ("linux/amd64", "linux/arm64")


async def test_targets_and_files_are_passed_on(tmp_path: Path) -> None:
    (tmp_path / "other.hcl").write_text(FROM_HCL)
    declaration = await load_bake(tmp_path, environment=environment(), files=[Path("other.hcl")], targets=["tools"])
    assert [variant.name for variant in declaration.variants] == ["tools"]


async def test_compose_files_beside_are_merged_as_bake_does(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {build: {context: web, args: [A=$B]}}}")
    (tmp_path / "docker-bake.json").write_text(json.dumps({"target": {"web": {"target": "final"}}}))
    (web,) = (await load_bake(tmp_path, environment=environment())).variants
    assert (web.context, web.target, web.args) == ("web", "final", {"A": ""})


async def test_what_buildx_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "docker-bake.hcl").write_text('target "default" { args = { A = nothing } }')
    with pytest.raises(UsageError, match="buildx cannot read the bake files") as caught:
        await load_bake(tmp_path, environment=environment())
    assert any("docker-bake.hcl:1,33-40" in note and "nothing" in note for note in caught.value.notes)


async def test_both_ways_lead_to_one_declaration(tmp_path: Path) -> None:
    case = one({**variables(V="1"), **default(args={"a": "$${V}${V}"}, tags=["r.io/a:${V}"], context="x")})
    theirs = printed(case, tmp_path)
    assert theirs is not None
    assert read_bake(theirs) == declare_bake(ours(case), path="docker-bake.json")

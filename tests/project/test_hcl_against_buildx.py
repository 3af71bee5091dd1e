"""HCL bake files, resolved by ourselves and by a real `docker buildx bake --print`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from buildonce.engines.programs import buildx_command
from buildonce.errors import UsageError
from buildonce.project.bake import read_printed
from buildonce.project.bake_resolution import Resolved, resolve_bake
from buildonce.project.hcl_documents import read_hcl
from tests.project.hcl_cases import EXPRESSIONS, FILES, document
from tests.project.test_bake_against_buildx import comparable

pytestmark = pytest.mark.host

NAME = "docker-bake.hcl"


def printed(text: str, folder: Path, setting: Mapping[str, str] | None = None) -> Resolved | None:
    """Return what buildx makes of a file, None when it refuses."""
    command = buildx_command(os.environ)
    assert command, 'no buildx: run `scripts/host up` and `eval "$(scripts/host env)"`'
    (folder / NAME).write_text(text)
    argv = [*command, "bake", "--print", "--progress=quiet"]
    done = subprocess.run(argv, cwd=folder, env={**os.environ, **(setting or {})}, capture_output=True)
    return read_printed(done.stdout) if done.returncode == 0 else None


def ours(text: str, setting: Mapping[str, str] | None = None) -> Resolved:
    return resolve_bake([read_hcl(text.encode(), NAME)], (), setting or {}, path=NAME)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_file_is_resolved_as_buildx_does(text: str, tmp_path: Path) -> None:
    theirs = printed(text, tmp_path)
    assert theirs is not None
    assert comparable(ours(text)) == comparable(theirs)


@pytest.mark.parametrize("setting", [{"V": "", "N": "7", "B": "false"}, {"V": "$x", "N": "2.50", "B": "1"}])
def test_the_environment_counts_as_it_does_for_buildx(setting: dict[str, str], tmp_path: Path) -> None:
    kept = []
    for expression in EXPRESSIONS:
        try:
            ours(document((expression,)), setting)
        except UsageError:
            continue
        kept.append(expression)
    assert len(kept) > len(EXPRESSIONS) - 4
    theirs = printed(document(tuple(kept)), tmp_path, setting)
    assert theirs is not None
    assert comparable(ours(document(tuple(kept)), setting)) == comparable(theirs)


TEXTS = st.sampled_from(['"a"', '"b-c"', '""', "V", '"x${V}"', '"1"', '"${N}"', '"a,b"'])
NUMBERS = st.sampled_from(["0", "1", "2", "N", "1.5", "-4", "7"])
BOOLEANS = st.sampled_from(["true", "false", "B"])
LISTS = st.sampled_from(['["a", "b"]', '["a"]', "[V]", '["x", "", V]', 'split(",", "p,q")'])


def joined(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda values: template.format(*values))


def texts(depth: int) -> st.SearchStrategy[str]:
    if not depth:
        return TEXTS
    text, number, boolean, items = texts(depth - 1), numbers(depth - 1), booleans(depth - 1), lists(depth - 1)
    calls = [joined(f"{name}({{}})", text) for name in ("upper", "lower", "trimspace", "reverse", "sanitize", "own")]
    more = [
        joined('"<${{{}}}>"', text),
        joined("{} ? {} : {}", boolean, text, text).map(lambda one: f"({one})"),
        joined("{} ? {} : {}", boolean, text, number).map(lambda one: f"({one})"),
        joined('join("+", {})', items),
        joined("replace({}, {}, {})", text, st.sampled_from(['"a"', '"-"', '"xx"']), text),
        joined("trimprefix({}, {})", text, text),
        joined("substr({}, {}, {})", text, number, number),
        joined("element({}, {})", items, number),
        joined('format("%s=%v", {}, {})', text, number),
        joined("coalesce(null, {})", text),
    ]
    return st.one_of(TEXTS, *calls, *more)


def numbers(depth: int) -> st.SearchStrategy[str]:
    if not depth:
        return NUMBERS
    number, text, items, boolean = numbers(depth - 1), texts(depth - 1), lists(depth - 1), booleans(depth - 1)
    operators = [joined(f"({{}} {one} {{}})", number, number) for one in "+-*/%"]
    calls = [joined(f"{name}({{}}, {{}})", number, number) for name in ("add", "subtract", "max", "min")]
    more = [joined("length({})", items), joined("strlen({})", text), joined("({} ? {} : {})", boolean, number, number)]
    return st.one_of(NUMBERS, *operators, *calls, *more)


def booleans(depth: int) -> st.SearchStrategy[str]:
    if not depth:
        return BOOLEANS
    boolean, number, text, items = booleans(depth - 1), numbers(depth - 1), texts(depth - 1), lists(depth - 1)
    return st.one_of(
        BOOLEANS,
        joined("!{}", boolean),
        *(joined(f"({{}} {one} {{}})", boolean, boolean) for one in ("&&", "||", "==", "!=")),
        *(joined(f"({{}} {one} {{}})", number, number) for one in ("<", "<=", ">", ">=", "==", "!=")),
        *(joined(f"({{}} {one} {{}})", text, st.one_of(text, number)) for one in ("==", "!=")),
        joined("contains({}, {})", items, text),
        joined("equal({}, {})", text, text),
    )


def lists(depth: int) -> st.SearchStrategy[str]:
    if not depth:
        return LISTS
    items, text, boolean = lists(depth - 1), texts(depth - 1), booleans(depth - 1)
    return st.one_of(
        LISTS,
        joined("[{}, {}]", text, text),
        joined("concat({}, {})", items, items),
        joined("({} ? {} : {})", boolean, items, items),
        joined("[for x in {} : upper(x)]", items),
        joined('[for x in {} : x if x != "a"]', items),
        joined("distinct({})", items),
        joined("compact({})", items),
        joined("sort({})", items),
        joined("split({}, {})", st.sampled_from(['","', '"-"']), text),
    )


def is_ours(expression: str) -> bool:
    try:
        ours(document((expression,)))
    except UsageError:
        return False
    return True


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.lists(texts(3), min_size=20, max_size=40))
def test_what_we_evaluate_buildx_evaluates_to_the_same(expressions: list[str]) -> None:
    kept = tuple(one for one in expressions if is_ours(one))
    assume(kept)
    with tempfile.TemporaryDirectory() as folder:
        theirs = printed(document(kept), Path(folder))
        refused = [] if theirs else [one for one in kept if printed(document((one,)), Path(folder)) is None]
    assert not refused
    assert theirs is not None
    assert comparable(ours(document(kept))) == comparable(theirs)

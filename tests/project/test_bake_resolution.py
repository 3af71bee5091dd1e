"""JSON bake files, resolved: variables, matrices, groups, inheritance, and what is wrong with them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.errors import UsageError
from buildonce.project.bake import read_bake
from buildonce.project.bake_keys import EXPRESSED
from buildonce.project.bake_resolution import resolve_bake
from buildonce.project.declaration import VariantDeclaration
from buildonce.project.json_documents import read_json
from tests.project.bake_documents import CASES, FIRST, MATRIX, PARENTS, SECOND, Json, default, variables
from tests.project.resolving import message, resolve


def test_a_matrix_becomes_a_variant_for_each_of_its_values() -> None:
    names = [variant.name for variant in resolve(MATRIX, "m").variants]
    assert names == ["m-1-a", "m-1-b", "m-2-a", "m-2-b"]
    first = resolve(MATRIX, "m-1-a").variants[0]
    assert (first.target, first.args, first.push, first.tags) == ("1", {"v": "q", "a": "key"}, "r.io/a", ("1",))


def test_parents_are_merged_in_their_order_and_the_target_wins() -> None:
    parents: Json = {"target": {name: dict(target) for name, target in PARENTS["target"].items()}}
    for key in ("labels", "no-cache"):
        parents["target"]["c"].pop(key)
    (variant,) = resolve(parents).variants
    assert variant == VariantDeclaration(
        name="default",
        dockerfile="c/D",
        context="c",
        target="t",
        args={"x": "b", "y": "d", "z": "a"},
        contexts={"q": "q"},
        platforms=("linux/amd64",),
    )


def test_a_later_file_overrides_an_earlier_one() -> None:
    resolved = resolve_bake([read_json(json.dumps(one).encode(), "f") for one in (FIRST, SECOND)], (), {}, path="f")
    assert resolved.targets["default"] == {
        "context": "q",
        "dockerfile": "Dockerfile",
        "target": "p",
        "args": {"x": "2", "y": "2", "z": "2"},
        "tags": ["b"],
    }


def test_the_environment_wins_over_a_default() -> None:
    document = {**variables(TAG="dev"), **default(tags=["r.io/app:${TAG}"])}
    assert resolve(document).variants[0].tags == ("dev",)
    assert resolve(document, TAG="v1").variants[0].tags == ("v1",)


def test_what_a_target_has_wrong_and_nobody_wants_is_not_looked_at() -> None:
    document: Json = {"target": {"default": {"inherits": ["p"]}, "p": {}, "other": {"tags": ["${upper(x)}"]}}}
    assert [variant.name for variant in resolve(document).variants] == ["default"]


WRONG_FILES: Mapping[str, tuple[Json | str, str]] = {
    "no JSON": ('{"target": ', "docker-bake.json is not JSON: Expecting value\n  = note: line 1, column 12"),
    "a key twice": (
        '{"target": {"a": {}, "a": {}}}',
        "docker-bake.json is not JSON: the key `a` stands twice in one object",
    ),
    "no mapping": ("[1]", "a list stands where a mapping is needed\n  = note: docker-bake.json"),
    "no target": (
        {"target": {"app": {}, "apps": {}}},
        "there is no target or group `default`\n  = note: docker-bake.json\nhelp: there are: app, apps",
    ),
    "no member": (
        {"group": {"default": {"targets": ["apq"]}}, "target": {"app": {}}},
        "there is no target or group `apq`\n  = note: docker-bake.json, group.default\nhelp: did you mean `app`?",
    ),
    "a circle of groups": (
        {"group": {"default": {"targets": ["g"]}, "g": {"targets": ["default"]}}},
        (
            "the group is one of its own members\n  = note: docker-bake.json, group.default\n"
            "help: take it out of its `targets`"
        ),
    ),
    "a circle of parents": (
        {"target": {"default": {"inherits": ["p"]}, "p": {"inherits": ["default"]}}},
        "it inherits from itself: default -> p -> default\n  = note: docker-bake.json, target.default",
    ),
    "no parent": (
        default(inherits=["bass"]) | {"target": {"default": {"inherits": ["bass"]}, "base": {}}},
        "there is no target or group `bass`\n  = note: docker-bake.json, target.default\nhelp: did you mean `base`?",
    ),
    "an unknown key": (
        default(argz={}),
        "a target has no `argz`\n  = note: docker-bake.json, target.default.argz\nhelp: did you mean `args`?",
    ),
    "an unknown variable": (
        {**variables(TAG="1"), **default(tags=["r.io/a:${TAGS}"])},
        "there is no variable `TAGS`\n  = note: docker-bake.json, target.default.tags\nhelp: did you mean `TAG`?",
    ),
    "no variable at all": (
        default(target="${T}"),
        (
            "there is no variable `T`\n  = note: docker-bake.json, target.default.target\n"
            'help: declare it: "variable": {"T": {"default": "..."}}'
        ),
    ),
    "a variable of buildx": (
        default(args={"a": "${BAKE_LOCAL_PLATFORM}"}),
        (
            "`BAKE_LOCAL_PLATFORM` is set by buildx alone\n  = note: docker-bake.json, target.default.args\n"
            "help: install Docker's buildx, which resolves every bake file; or write the value out"
        ),
    ),
    "a circle of variables": (
        {**variables(A="${B}", B="${A}"), **default(target="${A}")},
        "the variable `A` depends on itself: A -> B -> A\n  = note: docker-bake.json, target.default.target",
    ),
    "a function that is none": (
        default(target='${uper("a")}'),
        (
            '`uper("a")`: the function `uper` is not known without buildx\n'
            "  = note: docker-bake.json, target.default.target\nhelp: did you mean `upper`?"
        ),
    ),
    "a directive": (
        default(target="%{if x}a%{endif}"),
        (
            "a template directive is not read without buildx: `%{if x}a%{endif}`\n"
            "  = note: docker-bake.json, target.default.target\n"
            "help: install Docker's buildx, which resolves every bake file, if this is right"
        ),
    ),
    "a key of another target": (
        default(target="${target.a.target}"),
        (
            "`target`: values of another target are not read without buildx\n"
            "  = note: docker-bake.json, target.default.target\n"
            "help: install Docker's buildx, which resolves every bake file; or write the value out"
        ),
    ),
    "a function with too few arguments": (
        {"function": {"f": {"params": ["a"], "result": "${a}"}}, **default(target="${f()}")},
        (
            "`f()`: the function `f` takes 1 arguments, and gets 0\n  = note: docker-bake.json, target.default.target\n"
            "help: install Docker's buildx, which resolves every bake file; or write the value out"
        ),
    ),
    "a typed variable": (
        {"variable": {"A": {"type": "string"}}, **default(target="${A}")},
        (
            "the variable `A` has a `type`\n  = note: docker-bake.json, target.default.target\n"
            "help: install Docker's buildx, which resolves every bake file; or write the value out"
        ),
    ),
    "null in a text": (
        {**variables(N=None), **default(target="x${N}")},
        "null stands where a text is needed\n  = note: docker-bake.json, target.default.target",
    ),
    "a missing attribute": (
        {**variables(O={"a": "1"}), **default(target="${O.b}")},
        (
            "`O.b`: there is no `b` in it\n  = note: docker-bake.json, target.default.target\n"
            "help: install Docker's buildx, which resolves every bake file; or write the value out"
        ),
    ),
    "a text for a list": (
        default(tags="r.io/a:1"),
        "a text stands where a list is needed\n  = note: docker-bake.json, target.default.tags",
    ),
    "a list for a mapping": (
        default(args=["A=1"]),
        "a list stands where a mapping is needed\n  = note: docker-bake.json, target.default.args",
    ),
    "a matrix that is no mapping": (
        default(matrix=["a"], name="x"),
        "its `matrix` is no mapping\n  = note: docker-bake.json, target.default",
    ),
    "a matrix of a text": (
        default(matrix={"k": "v"}, name="x"),
        "`k` of its `matrix` is a text, not a list\n  = note: docker-bake.json, target.default",
    ),
    "a name without a matrix": (
        default(name="x"),
        "it has a `name`, which only a target with a `matrix` has\n  = note: docker-bake.json, target.default",
    ),
    "a name twice": (
        default(matrix={"k": ["1", "2"]}, name="x"),
        (
            "two of its targets are called `x`\n  = note: docker-bake.json, target.default\n"
            "help: put every key of `matrix` into `name`"
        ),
    ),
    "a name that is none": (
        default(matrix={"k": ["1.0"]}, name="x-${k}"),
        (
            "`x-1.0` cannot be a target's name\n  = note: docker-bake.json, target.default\n"
            "help: a name has letters, digits, `_` and `-`"
        ),
    ),
    "a name that is no variant's": (
        {"group": {"default": {"targets": ["App"]}}, "target": {"App": {}}},
        (
            "`App` is not the name of a variant\n  = note: docker-bake.json, target.App\n"
            "help: call it `app`: the name is part of tags and repositories"
        ),
    ),
    "a number out of bounds": (
        '{"target": {"default": {"args": {"A": 1e999999999}}}}',
        (
            "the number is out of all bounds\n  = note: docker-bake.json, target.default.args\n"
            "help: write it as a text, in quotes"
        ),
    ),
}


@pytest.mark.parametrize(("document", "said"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_what_is_wrong_in_a_file_is_said(document: Json | str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(document)
    assert message(caught.value) == said


@pytest.mark.parametrize(
    ("default_value", "given_value", "said"),
    [
        (True, "yes", "the environment's V=yes is no boolean"),
        (5, "five", "the environment's V=five is no number, which the variable's default is"),
        (["a"], "a,b", "the environment cannot give a list, which the default of the variable `V` is"),
        (5, "1e999", "the number is out of all bounds"),
    ],
)
def test_a_value_of_the_environment_has_to_fit(default_value: Any, given_value: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        resolve({**variables(V=default_value), **default(args={"a": "x${V}"})}, V=given_value)


def nested(value: str, depth: int) -> Any:
    return [nested(value, depth - 1)] if depth else value


HOSTILE: Mapping[str, str] = {
    "deep lists": "[" * 200_000,
    "deep mappings": '{"a":' * 200_000,
    "deep and complete": '{"target":' * 500 + "{}" + "}" * 500,
    "a long number": '{"x": ' + "9" * 1_000_000 + "}",
    "a huge exponent": '{"target": {"default": {"target": 1e-999999999}}}',
    "an impossible exponent": '{"target": {"default": {"target": 1e99999999999999999999999}}}',
    "not a number": '{"x": NaN}',
    "half a surrogate pair": '{"target": {"default": {"target": "\\ud800"}}}',
    "a NUL": '{"target": {"default": {"target": "a\\u0000b"}}}',
    "a large document": '{"x": "' + "x" * (5 << 20) + '"}',
    "nothing": "",
    "a byte-order mark": "\ufeff{}",
    "variables that double": json.dumps(
        {
            **variables(V0="x" * 1000, **{f"V{n}": f"${{V{n - 1}}}" * 2 for n in range(1, 60)}),
            **default(target="${V59}"),
        }
    ),
    "a chain of variables": json.dumps(
        {**variables(V0="x", **{f"V{n}": f"${{V{n - 1}}}" for n in range(1, 5000)}), **default(target="${V4999}")}
    ),
    "a large matrix": json.dumps(
        {"target": {"m": {"name": "m-${a}-${b}-${c}", "matrix": {key: [*map(str, range(500))] for key in "abc"}}}}
    ),
    "a wide matrix": json.dumps(
        {"target": {"m": {"name": "x${k0}", "matrix": {f"k{n}": [*range(1000)] for n in range(400)}}}}
    ),
    "a matrix of large targets": json.dumps(
        {
            "target": {
                "m": {
                    "name": "m-${a}",
                    "matrix": {"a": [*map(str, range(4000))]},
                    "args": {f"A{n}": "x${a}" for n in range(2000)},
                }
            },
            "group": {"default": {"targets": ["m"]}},
        }
    ),
    "a chain of parents": json.dumps(
        {"target": {"default": {"inherits": ["t4999"]}, **{f"t{n}": {"inherits": [f"t{n - 1}"]} for n in range(5000)}}}
    ),
    "a chain of groups": json.dumps(
        {"group": {"default": {"targets": ["g0"]}, **{f"g{n}": {"targets": [f"g{n + 1}"]} for n in range(5000)}}}
    ),
    "variables that nest": json.dumps(
        {**variables(V0="x", **{f"V{n}": nested(f"${{V{n - 1}}}", 50) for n in range(1, 60)}), **default(args="${V59}")}
    ),
    "very many faults": json.dumps(default(**{f"key{n}": 1 for n in range(50_000)})),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_document_is_refused_in_time(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(UsageError) as caught:
        resolve(text)
    assert time.monotonic() - started < 20
    assert len(str(caught.value)) < 20_000


def test_groups_that_double_at_each_step_are_expanded_once() -> None:
    groups = {f"g{n}": {"targets": [f"g{n + 1}"] * 2} for n in range(60)}
    document = {"group": {"default": {"targets": ["g0"]}, **groups, "g60": {"targets": ["a"]}}, "target": {"a": {}}}
    assert [variant.name for variant in resolve(document).variants] == ["a"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("${V}"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "default"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from([*EXPRESSED, "inherits", "matrix", "name", "labels", "targets", "default", "V"])
BLOCKS = st.dictionaries(
    st.sampled_from(["default", "V", "a"]), st.dictionaries(KEYS, JSON, max_size=4) | JSON, max_size=3
)


@given(st.dictionaries(st.sampled_from(["target", "group", "variable", "x"]), BLOCKS | JSON, max_size=4))
def test_whatever_a_document_holds_it_is_read_or_refused(document: Json) -> None:
    text = json.dumps(document)
    for read in (resolve, lambda text: read_bake(text.encode())):
        with suppress(UsageError):
            read(text)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_known_document_is_resolved(case: Any) -> None:
    documents = [read_json(json.dumps(one).encode(), name) for name, one in sorted(case.files.items())]
    resolved = resolve_bake(documents, case.wanted, case.environment, path="docker-bake.json")
    assert set(resolved.wanted) <= set(resolved.targets)

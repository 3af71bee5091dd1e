"""HCL as it is read and evaluated; tests/project/test_hcl_against_buildx.py holds it against buildx."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.errors import UsageError
from buildonce.project.bake import declare_bake
from buildonce.project.bake_resolution import resolve_bake
from buildonce.project.hcl_documents import read_hcl
from buildonce.project.hcl_functions import FUNCTIONS
from buildonce.project.json_documents import read_json
from tests.project.hcl_cases import EXPRESSIONS, FILES, REFUSED, document

PAGE = (Path(__file__).parents[2] / "docs" / "bake-and-compose.md").read_text()


def args(text: str) -> dict[str, str]:
    resolved = resolve_bake([read_hcl(text.encode(), "docker-bake.hcl")], (), {}, path="docker-bake.hcl")
    return dict(declare_bake(resolved, path="docker-bake.hcl").variants[0].args)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_file_is_resolved(text: str) -> None:
    resolve_bake([read_hcl(text.encode(), "docker-bake.hcl")], (), {}, path="docker-bake.hcl")


@pytest.mark.parametrize(("expression", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_evaluated_is_said_with_its_place(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        args(document((expression,)))
    assert said in caught.value.message
    assert "docker-bake.hcl:1" in caught.value.message
    assert caught.value.help


def test_a_message_names_the_innermost_expression() -> None:
    with pytest.raises(UsageError) as caught:
        args('target "default" {\n  args = { A = upper("x${lower(no_such)}") }\n}\n')
    assert caught.value.message == "docker-bake.hcl:2:32: `no_such`: there is no variable `no_such`"


def test_the_same_functions_are_in_json() -> None:
    document = {
        "function": {"twice": {"params": ["a"], "result": "${a}${a}"}},
        "target": {"default": {"args": {"A": '${upper(twice("x"))}-${1 + 2}', "B": "${true ? 1 : 2}"}}},
    }
    resolved = resolve_bake([read_json(json.dumps(document).encode(), "b")], (), {}, path="b")
    assert declare_bake(resolved, path="b").variants[0].args == {"A": "XX-3", "B": "1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target {\n", "docker-bake.hcl:2:1: "),
        ('target "a" {', "docker-bake.hcl:1:13: `}` is expected here"),
        ('target "a" "b" {}', "docker-bake.hcl: `target` has one label, its name"),
        ("thing {}", "docker-bake.hcl: `thing` is no block of a bake file"),
        ("a = 1\na = 2\n", "docker-bake.hcl:2:1: `a` stands twice"),
        ("a = 1 b = 2", "docker-bake.hcl:1:7: a line ends after an attribute or a block"),
        ("a = ", "docker-bake.hcl:1:5: a name or a value is expected here"),
        ('a = "x', "docker-bake.hcl:1:5: the quotes are not closed"),
        (r'a = "\q"', r"docker-bake.hcl:1:6: `\q` is no escape sequence"),
        ("a = <<EOT\nx\n", "docker-bake.hcl:1:5: the heredoc has no line `EOT` at its end"),
        ("a = [1, 2", "docker-bake.hcl:1:10: `]` is expected here"),
        ("a = { b 1 }", "docker-bake.hcl:1:7: a key is a name"),
        ("a = { b = 1 c = 2 }", "docker-bake.hcl:1:13: `,` or a line end is expected between two members"),
        ("a = x::y()", "docker-bake.hcl:1:6: a function in a namespace"),
        ("a = 1\n  é = 2\n", "docker-bake.hcl:2:3: a name or a value is expected here"),
        ('target = 1\ntarget "a" {}', "docker-bake.hcl: `target` is an attribute and a block"),
        (f"a = {'(' * 500}1{')' * 500}", "this nests deeper than 40 levels"),
        (f"a = {'!' * 500}true", "this nests deeper than 40 levels"),
        (f"{'a { ' * 500}", "this nests deeper than 40 levels"),
    ],
)
def test_what_is_no_hcl_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_hcl(text.encode(), "docker-bake.hcl")
    assert said in caught.value.message


def test_a_function_that_calls_itself_is_an_error() -> None:
    with pytest.raises(UsageError, match="nest too deep"):
        args('function "f" {\n  params = [x]\n  result = f(x)\n}\ntarget "default" { args = { A = f(1) } }\n')


def test_a_text_that_grows_out_of_all_bounds_is_an_error() -> None:
    lines = "".join(f'variable "V{n + 1}" {{ default = "${{V{n}}}${{V{n}}}${{V{n}}}" }}\n' for n in range(30))
    with pytest.raises(UsageError, match="grows out of all bounds"):
        args(f'variable "V0" {{ default = "long text" }}\n{lines}target "default" {{ args = {{ A = V30 }} }}\n')


@given(st.text(alphabet='ab"{}[]()=,.:?!<>-+*/%$#\n 01', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        resolve_bake([read_hcl(text.encode(), "f")], (), {}, path="f")


def test_the_functions_are_those_of_the_page() -> None:
    listed = PAGE[PAGE.index("These functions are evaluated") :].split("\n\n")[1]
    assert listed.replace("`", "").replace("\n", " ").split(", ") == sorted(FUNCTIONS)


def test_every_function_is_held_against_buildx() -> None:
    missing = [name for name in FUNCTIONS if not any(f"{name}(" in one for one in EXPRESSIONS)]
    assert missing == []

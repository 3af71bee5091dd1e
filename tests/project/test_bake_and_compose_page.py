"""What docs/bake-and-compose.md says is so."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from buildonce.project import bake_keys, compose_keys
from buildonce.project.bake import declare_bake
from buildonce.project.bake_resolution import resolve_bake
from buildonce.project.compose import read_compose
from buildonce.project.json_documents import read_json
from buildonce.run.bake_files import BAKE_FILES
from buildonce.run.compose_files import COMPOSE_FILES

PAGE = (Path(__file__).parents[2] / "docs" / "bake-and-compose.md").read_text()


def example(first: str) -> str:
    """Return the example that begins with this line."""
    block = PAGE[PAGE.index(f"\n    {first}\n") :].split("\n\n")[0]
    return dedent(block.removeprefix("\n"))


@pytest.mark.parametrize(
    "table", [bake_keys.PASSED_OVER, bake_keys.NOT_YET, compose_keys.PASSED_OVER, compose_keys.NOT_YET]
)
def test_the_tables_are_the_tables_of_the_code(table: dict[str, str]) -> None:
    assert "\n".join(f"| `{key}` | {reason} |" for key, reason in table.items()) in PAGE


def test_the_files_are_those_that_are_found() -> None:
    assert all(f"`{name}`" in PAGE for name in (*BAKE_FILES, *COMPOSE_FILES))


def test_the_bake_file_is_read() -> None:
    document = read_json(example("{").encode(), "docker-bake.json")
    variants = declare_bake(resolve_bake([document], (), {"VERSION": "1.0"}, path="b"), path="b").variants
    assert [(one.name, one.target, one.push, one.tags) for one in variants] == [
        ("claude", "claude", "registry.example/acme/claude", ("1.0",)),
        ("codex", "codex", "registry.example/acme/codex", ("1.0",)),
    ]


def test_the_compose_file_is_read() -> None:
    (web,) = read_compose(example("services:").encode(), path="compose.yaml", environment={"VERSION": "2"}).variants
    assert (web.context, web.target, web.args, web.tags) == ("web", "web", {"VERSION": "2"}, ("2",))

"""What docs/configuration.md says is so."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from buildonce.project.problems import ConfigurationProblem
from buildonce.project.toml import read_toml
from buildonce.ship.tags import expand_rules, tag_rules

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
BLOCKS = [textwrap.dedent(found[0]) for found in re.finditer(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE)]
FILES = [block.lstrip("\n") for block in BLOCKS if "# buildonce.toml\n" in block]


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_every_file_is_read(text: str) -> None:
    assert read_toml(text).file == "buildonce.toml"


def test_the_variants_are_those_of_the_comments() -> None:
    claude, codex, grok = read_toml(FILES[1]).declaration.variants
    assert (claude.target, codex.target, grok.target) == ("claude", "codex-runtime", None)
    assert codex.args == {"VERSION": "1.4", "AGENT": "codex"}


def test_the_tags_are_those_of_the_table() -> None:
    (text,) = (text for text in FILES if "tags = " in text and "default = " in text)
    declaration = read_toml(text).declaration
    places = {variant.name: "registry.example/acme/app" for variant in declaration.variants}
    tags = expand_rules(
        tag_rules(declaration, list(places), moves_latest=True), places, {"version": "1.4.0"}.__getitem__
    )
    for variant, ones in tags.items():
        assert f"| {variant} | {', '.join(f'`{tag}`' for tag in ones)} |" in PAGE


def test_the_mistake_is_shown_as_it_is() -> None:
    with pytest.raises(ConfigurationProblem) as caught:
        read_toml('platfroms = ["linux/amd64"]\n')
    assert textwrap.indent(str(caught.value), "    ", lambda line: line != "\n") in PAGE

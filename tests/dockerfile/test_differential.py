"""Our reading of Dockerfiles against that of BuildKit's own parser, the test-only package `dockerfile`.

The package holds BuildKit 0.12. What BuildKit changed since is left out by `is_comparable`: text after a JSON array
(0.15), spaces between ``<<`` and a heredoc's name (0.21), patterns in variables, and escapes in flags.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from buildonce.dockerfile.lexer import Node, lex
from buildonce.dockerfile.runes import encode
from tests.dockerfile.corpus import cases

if platform.machine() != "x86_64":  # there is no package for other machines
    pytest.skip("BuildKit's parser is packaged for x86-64 only", allow_module_level=True)

import dockerfile as oracle  # type: ignore[import-not-found]

CORPUS = sorted((Path(__file__).parent.parent / "data" / "dockerfiles").iterdir())
Row = tuple[object, ...]
EXAMPLES = int(os.environ.get("BUILDONCE_EXAMPLES", "0"))
"""How many files are generated; 20000 is the long run, a few minutes."""

_CHANGED_SINCE = re.compile(
    r"<<-?(?:[\t\r\f\v ]|[\\`][ \t]*\r?\n)"  # heredoc names after spaces, on the next line too
    r"|\\u0000|\0"  # the package cuts strings at NUL
    r"|\][^\n]*[^\s]"  # text after a JSON array
    r"|\]\\"
    r"|\$\{[^}]*[#%/:]"  # patterns and defaults beside a heredoc
    r"|(?i:onbuild)\s+\S*\s*(?i:onbuild)"  # refused by both, but taken apart differently
    r"|escape"  # flags and heredocs once took a backslash for the escape character
    r"|[\x85\xa0]"  # split inside a character, which the package cannot pass on
)


def is_comparable(text: str) -> bool:
    """Say whether BuildKit 0.12 reads this text as BuildKit does today."""
    return not _CHANGED_SINCE.search(text)


def read_ours(text: str) -> list[Row] | None:
    """Return what we read, instruction by instruction; None for a file that cannot be taken apart."""
    lexed = lex(encode(text))
    return None if lexed.faults else [_row(node) for node in lexed.nodes]


def read_theirs(text: str) -> list[Row] | None:
    """Return what BuildKit reads; None when it refuses the file."""
    try:
        commands = oracle.parse_string(text)
    except oracle.GoParseError:
        return None
    return [
        (
            (one.cmd or "").lower(),
            (one.sub_cmd or "").lower(),
            one.json,
            (one.start_line, one.end_line),
            tuple(one.flags),
            tuple(one.value),
            tuple((heredoc.name, heredoc.file_descriptor, heredoc.content) for heredoc in one.heredocs),
        )
        for one in commands
    ]


def _row(node: Node) -> Row:
    line = node.line
    inner = line.child or line
    words = inner.words
    if inner.keyword.lower() in ("env", "label"):
        words = tuple(word for number, word in enumerate(words) if number % 3 != 2)
    return (
        line.keyword.lower(),
        line.child.keyword.lower() if line.child else "",
        inner.is_json,
        (node.span.start, node.span.end),
        line.flags,
        words,
        # the package loses the heredocs of ONBUILD
        () if line.child else tuple((one.name, one.descriptor, one.content) for one in node.heredocs),
    )


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus_is_read_as_buildkit_reads_it(path: Path) -> None:
    text = path.read_bytes().decode()
    assert read_ours(text) == read_theirs(text) is not None


GENERATED = tuple(cases())


def test_the_corpus_is_large() -> None:
    assert len({text for _, text in GENERATED}) >= 400


@pytest.mark.parametrize("text", [text for _, text in GENERATED], ids=[name for name, _ in GENERATED])
def test_generated_corpus_is_read_as_buildkit_reads_it(text: str) -> None:
    assert read_ours(text) == read_theirs(text) is not None


FRAGMENTS = st.sampled_from(
    [
        *("FROM a", "from b as c", "RUN ", "run", "COPY ", "ADD", "ENV ", "LABEL ", "ARG ", "CMD ", "ENTRYPOINT"),
        *("HEALTHCHECK ", "ONBUILD ", "EXPOSE ", "VOLUME", "SHELL ", "USER ", "WORKDIR ", "STOPSIGNAL", "MAINTAINER"),
        *(
            "\n",
            "\n",
            "\n",
            "\r\n",
            "\\\n",
            "\\ \n",
            "\\\\\n",
            " ",
            "  ",
            "\t",
            "\v",
            "\f",
            "\u2003",
            "#",
            "# c",
            "\ufeff",
        ),
        *(
            "# syntax=x\n",
            "--",
            "--x=y",
            "--from=a ",
            '--mount=type="a b"',
            "'",
            '"',
            "\\",
            "`",
            '\\"',
            "$",
            "$x",
            "${a}",
        ),
        *("<<EOF", "<<-EOF", "<<'EOF'", '<<"E"OF', "3<<E", "<<", "<", "EOF\n", "\tEOF\n", "E\n", "unknown", "NONE"),
        *('["a"', '["a", "b"]', "]", "[", "[]", "[1]", '["a\\u00e9"]', "{}", "null", "[1e999]", "[NaN]", "=", "a=b"),
        *("a b", "c='d e'", "\u00e9", "\u2028", "\U0001f600", "|", "&&", "CMD x", "x"),
    ]
)


@settings(max_examples=EXAMPLES or 600)
@given(st.lists(FRAGMENTS, min_size=1, max_size=24).map("".join))
def test_any_text_is_read_as_buildkit_reads_it(text: str) -> None:
    assume(is_comparable(text))
    assert read_ours(text) == read_theirs(text)


@settings(max_examples=EXAMPLES or 300)
@given(st.sampled_from(CORPUS), st.lists(st.tuples(st.integers(0), st.integers(0, 8), FRAGMENTS), max_size=3))
def test_a_mutated_corpus_is_read_as_buildkit_reads_it(path: Path, changes: list[tuple[int, int, str]]) -> None:
    text = path.read_bytes().decode()
    for position, length, fragment in changes:
        start = position % (len(text) + 1)
        text = text[:start] + fragment + text[start + length :]
    assume(is_comparable(text))
    assert read_ours(text) == read_theirs(text)

"""Heredoc openings: which words of an instruction open a heredoc, and how (BuildKit, frontend/dockerfile/parser)."""

from __future__ import annotations

import re

from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.syntax import Heredoc
from buildonce.dockerfile.words import split_words

_OPENING = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*+([^<]*)")


def find_heredocs(line: str) -> tuple[Heredoc, ...]:
    """Return the heredocs that an instruction's line opens, still without content.

    A line whose quotes cannot be read opens none. Raises `Fault` when a heredoc's own name cannot be read.
    """
    try:
        words = split_words(line, raw_quotes=True, raw_escapes=True)
    except Fault:
        return ()
    return tuple(heredoc for word in words if (heredoc := parse_heredoc(word)))


def parse_heredoc(word: str) -> Heredoc | None:
    """Return the heredoc that ``word`` opens (``<<EOF``, ``<<-EOF``, ``3<<"EOF"``), or None.

    Raises `Fault` when the name cannot be read.
    """
    match = _OPENING.fullmatch(word)
    if not match or not match[3]:
        return None
    names = split_words(match[3])
    if len(names) != 1:
        return None
    raw_names = split_words(match[3], raw_quotes=True)
    if len(raw_names) != 1:
        raise Fault("DF006", f"the heredoc name `{match[3]}` cannot be read", needle=word)
    return Heredoc(
        name=names[0],
        content="",
        expand=_count_quotes(names[0]) == _count_quotes(raw_names[0]),
        strip_tabs=match[2] == "-",
        descriptor=int(match[1][:19] or 0),
    )


def is_heredoc(word: str) -> bool:
    """Say whether ``word`` opens a heredoc."""
    try:
        return parse_heredoc(word) is not None
    except Fault:
        return False


def _count_quotes(word: str) -> int:
    return word.count("'") + word.count('"')

"""Changes to a Dockerfile's text that leave every other byte, and every line number, as the user wrote it.

Texts are those of `Dockerfile.text`: write them with `runes.encode`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from buildonce.dockerfile.lexer import lex
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import SPACES, encode
from buildonce.dockerfile.syntax import Dockerfile, Span

_MARK = "\ufeff"


def blank_instructions(dockerfile: Dockerfile, spans: Iterable[Span]) -> str:
    """Return the text with the lines of these instructions emptied; their line ends stay."""
    blank = {line for span in spans for line in range(span.start, span.end + 1)}
    lines = dockerfile.text.split("\n")
    return "\n".join(_blank(line) if number in blank else line for number, line in enumerate(lines, start=1))


def insert_line(text: str, number: int, line: str) -> str:
    """Return the text with a line of its own before the one that has this number, the first of an instruction."""
    lines = text.split("\n")
    end = "\r" if lines[number - 1].endswith("\r") else ""
    return "\n".join((*lines[: number - 1], line + end, *lines[number - 1 :]))


def append_stage(text: str, lines: Sequence[str]) -> str:
    """Return the text with ``lines`` after its last line, in its own style of line ends.

    A continuation character that dangles at the end of the file, where it has no effect, is dropped. Raises `Fault`
    when what stands before it would then be one.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    addition = "".join(line + end for line in lines)
    whole = _ended(text, end) + addition
    if _count(whole) == _count(text) + _count(addition):
        return whole
    whole = _ended(_without_dangling(text), end) + addition
    if _count(whole) != _count(text) + _count(addition):
        raise Fault(
            "DF037",
            "the last instruction ends in escape characters after which no other can stand",
            help="remove the escape characters at the end of the file",
        )
    return whole


def _blank(line: str) -> str:
    mark = _MARK if line.startswith(_MARK) else ""
    return mark + ("\r" if line.endswith("\r") else "")


def _ended(text: str, end: str) -> str:
    return text if not text or text.endswith("\n") else text + end


@lru_cache(maxsize=8)
def _count(text: str) -> int:
    """Return how many instructions a text has; the same text is asked about for each platform."""
    return len(lex(encode(text)).nodes)


def _without_dangling(text: str) -> str:
    """Return the text without the escape character at the end of its last line that is neither blank nor a comment.

    When nothing else stands on that line, the one before it dangles as well.
    """
    escape = lex(encode(text)).escape
    lines = text.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number].strip(SPACES)
        if line and not line.startswith("#"):
            head, _, tail = lines[number].rpartition(escape)
            lines[number] = head + tail
            if lines[number].strip(SPACES):
                break
    return "\n".join(lines)

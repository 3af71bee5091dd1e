"""From a Dockerfile's bytes to instruction lines: directives, comments, continuations and heredoc bodies.

The rules are those of BuildKit, frontend/dockerfile/parser/parser.go and directives.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from buildonce.dockerfile.arguments import Line, parse_line
from buildonce.dockerfile.heredocs import find_heredocs
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import SPACES, decode
from buildonce.dockerfile.syntax import Directive, Heredoc, Span

_LONGEST = 65536  # bytes with line feed: Go's bufio.MaxScanTokenSize
_DIRECTIVES = ("syntax", "escape", "check")
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=(.+)")
_DIRECTIVE_SPACES = "\t\n\f\r "
_WITH_HEREDOCS = ("add", "copy", "run")


class Node(Struct, frozen=True, kw_only=True):
    """One instruction's line with the lines it stands on, its heredocs and the comments above it."""

    line: Line
    span: Span
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()


class Lexed(Struct, frozen=True, kw_only=True):
    """A whole file; ``faults`` are with the lines that they stand on."""

    text: str
    escape: str
    directives: tuple[Directive, ...]
    nodes: tuple[Node, ...]
    faults: tuple[tuple[Span, Fault], ...]


def lex(content: bytes) -> Lexed:
    """Return the instructions of a file in order, with whatever is wrong with them; it raises nothing."""
    lexer = _Lexer(content)
    try:
        lexer.run()
    except Fault as fault:
        lexer.faults.append((Span(start=max(1, lexer.start), end=max(1, lexer.number)), fault))
    return Lexed(
        text=decode(content),
        escape=lexer.escape,
        directives=tuple(lexer.directives),
        nodes=tuple(lexer.nodes),
        faults=tuple(lexer.faults),
    )


@dataclass(slots=True)
class _Lexer:
    """One pass over one file; ``number`` is the line just read, ``start`` the first line of its instruction."""

    content: bytes
    escape: str = "\\"
    number: int = 0
    start: int = 0
    in_directives: bool = True
    directives: list[Directive] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    faults: list[tuple[Span, Fault]] = field(default_factory=list)
    lines: Iterator[str] = field(default_factory=lambda: iter(()))

    def run(self) -> None:
        self.lines = self._lines()
        comments: list[str] = []
        for raw in self.lines:
            self.start = self.number
            line = raw.rstrip("\r\n").lstrip(SPACES)
            if line.startswith("#"):
                if not self._directive(line):
                    comment = raw[1:].strip(SPACES)
                    comments = [*comments, comment] if comment else []
                continue
            self.in_directives = False
            text = self._join(line)
            if text is not None:
                self._instruction(text, tuple(comments))
                comments = []
        if not self.nodes and not self.faults:
            raise Fault("DF001", "this Dockerfile holds no instruction", help="begin with `FROM <image>`")

    def _lines(self) -> Iterator[str]:
        """Yield each line with its line end; raise when BuildKit's reader would give up."""
        content = self.content.removeprefix(b"\xef\xbb\xbf")
        offset = len(self.content) - len(content)
        lines = content.split(b"\n")
        last = len(lines) - 1
        for index, line in enumerate(lines):
            if index == last and not line:
                return
            self.number += 1
            if len(line) + (offset if not index else 0) >= _LONGEST:
                self.start = self.number
                raise Fault("DF005", f"this line has more than {_LONGEST - 1} bytes")
            yield decode(line) + ("\n" if index < last else "")

    def _directive(self, line: str) -> bool:
        """Take the line as a parser directive if it is one; they end at the first line that is none."""
        match = _DIRECTIVE.match(line[1:].lstrip(SPACES)) if self.in_directives else None
        name = match[1].lower() if match else ""
        if not match or name not in _DIRECTIVES:
            self.in_directives = False
            return False
        if any(directive.name == name for directive in self.directives):
            raise Fault("DF004", f"only one `{name}` parser directive can be used", needle=match[1])
        value = match[2].strip(_DIRECTIVE_SPACES) or match[2][-1]  # of spaces alone, BuildKit takes the last
        self.directives.append(Directive(name=name, value=value, line=self.number))
        if name == "escape":
            if value not in ("\\", "`"):
                raise Fault("DF003", f"`{value}` cannot be the escape character", needle=value, help="use \\ or `")
            self.escape = value
        return True

    def _join(self, line: str) -> str | None:
        """Return the line joined with its continuations, or None when it is blank."""
        continuation = re.compile(rf"([^{re.escape(self.escape)}]|\A){re.escape(self.escape)}[ \t]*\Z")
        text, continues = continuation.subn(r"\1", line)
        if not continues and not text:
            return None
        parts = [text]
        while continues:
            raw = next(self.lines, None)
            if raw is None:
                break
            line = raw.rstrip("\r\n")
            if not line.lstrip(SPACES) or line.lstrip(SPACES).startswith("#"):
                continue
            text, continues = continuation.subn(r"\1", line)
            parts.append(text)
        return "".join(parts)

    def _instruction(self, text: str, comments: tuple[str, ...]) -> None:
        try:
            line = parse_line(text, self.escape)
        except Fault as fault:
            if "<<" in text:  # where the heredoc ends is unknown now, so nothing after it can be read
                raise
            self.faults.append((Span(start=self.start, end=self.number), fault))
            return
        heredocs = find_heredocs(text) if _can_hold_heredocs(line) and "<<" in text else ()
        start = self.start
        bodies = tuple(self._body(heredoc) for heredoc in heredocs)
        self.nodes.append(Node(line=line, span=Span(start=start, end=self.number), heredocs=bodies, comments=comments))

    def _body(self, heredoc: Heredoc) -> Heredoc:
        content: list[str] = []
        for raw in self.lines:
            line = raw.rstrip("\r\n")
            if (line.lstrip("\t") if heredoc.strip_tabs else line) == heredoc.name:
                return replace(heredoc, content="".join(content))
            content.append(raw)
        raise Fault(
            "DF006",
            f"the heredoc `{heredoc.name}` is never closed",
            needle=f"<<{heredoc.name}",
            label="opened here",
            help=f"put `{heredoc.name}` alone on the line after its last line",
        )


def _can_hold_heredocs(line: Line) -> bool:
    inner = line.child if line.keyword.lower() == "onbuild" and line.child else line
    return inner.keyword.lower() in _WITH_HEREDOCS and not inner.is_json

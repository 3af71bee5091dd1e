"""Messages that point at a place in a file, rendered with a caret under it."""

from __future__ import annotations

from msgspec import Struct


class Diagnostic(Struct, frozen=True, kw_only=True):
    """One finding at one place.

    ``line`` and ``column`` count from 1; ``width`` is the number of characters to underline. ``source`` is the text
    of the line, without its line end.
    """

    code: str
    message: str
    path: str
    line: int
    column: int = 1
    width: int = 1
    source: str = ""
    label: str = ""
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: str = "error"


def render_diagnostic(diagnostic: Diagnostic) -> str:
    """Return the finding as plain text: headline, place, the line with a caret, notes and help.

    A byte that is not UTF-8 (a surrogate) becomes a question mark, so that the caret stays where it belongs.
    """
    number = str(diagnostic.line)
    gutter = " " * len(number)
    lines = [
        f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}",
        f"{gutter}--> {diagnostic.path}:{diagnostic.line}:{diagnostic.column}",
    ]
    if diagnostic.source:
        text = diagnostic.source.replace("\t", " ")
        caret = " " * (diagnostic.column - 1) + "^" * max(1, diagnostic.width)
        label = f" {diagnostic.label}" if diagnostic.label else ""
        lines += [f"{gutter} |", f"{number} | {text}", f"{gutter} | {caret}{label}", f"{gutter} |"]
    lines += [f"{gutter} = note: {note}" for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(f"help: {diagnostic.help}")
    return "\n".join(lines).encode(errors="replace").decode()

"""Aligned columns of plain text."""

from __future__ import annotations

from collections.abc import Sequence


def render_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows under their headings, each column as wide as its widest cell, without trailing spaces."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def printable(text: str) -> str:
    """Return a text that no terminal takes for a command: names come from other people's files and stores."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 core``, ``2 cores``."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def render_size(size: int) -> str:
    """Return a number of bytes for people: ``40.1 MB``."""
    if size < 1000:
        return f"{size} B"
    if size < 1_000_000:
        return f"{size / 1000:.1f} kB"
    return f"{size / 1_000_000:.1f} MB" if size < 1_000_000_000 else f"{size / 1_000_000_000:.2f} GB"

"""[io] JSON on the standard output stream."""

from __future__ import annotations

import click
import msgspec


def print_document(document: msgspec.Struct) -> None:
    """Print a document, indented, on the standard output stream."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))

"""What HCL's files are made of: bodies with attributes and blocks, and expressions, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

from msgspec import Struct


class _Node(Struct, frozen=True, kw_only=True):
    """``start`` and ``end`` are where it stands in the text, in characters."""

    start: int
    end: int


class Literal(_Node, frozen=True, kw_only=True):
    """A number, a boolean, null, or text without anything to fill in."""

    value: bool | Decimal | str | None


class Template(_Node, frozen=True, kw_only=True):
    """Texts and expressions, one after the other; one expression alone is that."""

    parts: tuple[Node, ...]


class Name(_Node, frozen=True, kw_only=True):
    """A variable."""

    name: str


class Index(_Node, frozen=True, kw_only=True):
    """A member of a list or a mapping: ``of.name`` or ``of[key]``."""

    of: Node
    key: Node


class Call(_Node, frozen=True, kw_only=True):
    """A function with its arguments; with ``expands``, the last one is a list of them."""

    name: str
    arguments: tuple[Node, ...]
    expands: bool = False


class Unary(_Node, frozen=True, kw_only=True):
    """``!x`` or ``-x``."""

    operator: str
    operand: Node


class Binary(_Node, frozen=True, kw_only=True):
    """Two operands around an operator."""

    operator: str
    left: Node
    right: Node


class Conditional(_Node, frozen=True, kw_only=True):
    """``condition ? yes : no``."""

    condition: Node
    yes: Node
    no: Node


class Items(_Node, frozen=True, kw_only=True):
    """A list."""

    items: tuple[Node, ...]


class Pairs(_Node, frozen=True, kw_only=True):
    """A mapping; a bare name as a key is that text."""

    pairs: tuple[tuple[Node, Node], ...]


class For(_Node, frozen=True, kw_only=True):
    """``[for key, value in of : result if condition]``; with ``result_key``, a mapping."""

    names: tuple[str, ...]
    of: Node
    result: Node
    result_key: Node | None = None
    condition: Node | None = None


Node: TypeAlias = Literal | Template | Name | Index | Call | Unary | Binary | Conditional | Items | Pairs | For


class Source(Struct, frozen=True):
    """A text with expressions, and what messages call it."""

    text: str
    path: str

    def show(self, node: Node) -> str:
        """Return where an expression stands, and the expression: what a message begins with."""
        before = self.text[: node.start]
        line, column = before.count("\n") + 1, node.start - before.rfind("\n")
        written = " ".join(self.text[node.start : node.end].split())
        shown = written if len(written) <= 60 else f"{written[:57]}..."
        return f"{self.path}:{line}:{column}: `{shown}`" if self.path else f"`{shown}`"


class Expression(Struct, frozen=True):
    """An expression that was read and is not evaluated yet."""

    node: Node
    source: Source


class Block(Struct, frozen=True, kw_only=True):
    """A block: its type, its labels, and its body."""

    type: str
    labels: tuple[str, ...]
    body: Body


class Body(Struct, frozen=True, kw_only=True):
    """Attributes by their names, and blocks in their order."""

    attributes: Mapping[str, Expression]
    blocks: tuple[Block, ...]

"""HCL, read: text in, bodies and expressions out (hashicorp/hcl, hclsyntax/spec.md).

What is left out: template directives (``%{if ...}``), splats, namespaced functions, identifiers beyond ASCII. A line
end closes an attribute, but inside brackets, where it is white space.
"""

from __future__ import annotations

import re
from decimal import Decimal

from buildonce.errors import ConfigurationError
from buildonce.project.hcl_syntax import (
    Binary,
    Block,
    Body,
    Call,
    Conditional,
    Expression,
    For,
    Index,
    Items,
    Literal,
    Name,
    Node,
    Pairs,
    Source,
    Template,
    Unary,
)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_SPACE = re.compile(r"(?:[ \t]|/\*.*?\*/)+", re.DOTALL)
_LINES = re.compile(r"(?:[ \t\r\n]|/\*.*?\*/|(?:#|//)[^\n]*)+", re.DOTALL)
_COMMENT = re.compile(r"(?:#|//)[^\n]*")
_HEREDOC = re.compile(r"<<(-?)([A-Za-z_][A-Za-z0-9_-]*)\r?\n", re.ASCII)
_OPENING = re.compile(r"\$\$\{|%%\{|\$\{|%\{")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"))
_CONSTANTS = {"true": True, "false": False, "null": None}
_DEEPEST = 40


class HclSyntaxError(ConfigurationError):
    """A text is not HCL, or a part of it that is not read."""


def parse_body(text: str, path: str) -> Body:
    """Return what a file of HCL says. Raises `HclSyntaxError`."""
    return _Parser(Source(text, path)).file()


def parse_template(text: str, path: str = "") -> Expression:
    """Return a text with ``${...}`` in it, as a JSON string has it: without escapes. Raises `HclSyntaxError`."""
    parser = _Parser(Source(text, path))
    return Expression(parser.template(len(text)), parser.source)


class _Parser:
    """One walk over a text; ``depth`` counts the brackets around the place, in which line ends are white space."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.at = 0
        self.depth = 0
        self.nesting = 0

    # Bodies.

    def file(self) -> Body:
        body = self._body()
        if self.at < len(self.text):
            raise self._wrong("an attribute or a block is expected here")
        return body

    def _body(self) -> Body:
        attributes: dict[str, Expression] = {}
        blocks: list[Block] = []
        depth, self.depth = self.depth, 0
        while True:
            self._skip_lines()
            if self.at == len(self.text) or self._peek("}"):
                break
            start = self.at
            name = self._identifier()
            self._skip()
            if self._peek("=") and not self._peek("=="):
                if name in attributes:
                    self.at = start
                    raise self._wrong(f"`{name}` stands twice")
                self.at += 1
                attributes[name] = Expression(self._expression(), self.source)
            else:
                blocks.append(self._block(name))
            self._end_of_line()
        self.depth = depth
        return Body(attributes=attributes, blocks=tuple(blocks))

    def _block(self, name: str) -> Block:
        labels = []
        while not self._peek("{"):
            if self._peek('"'):
                label = self._quoted()
                if not isinstance(label, Literal) or not isinstance(label.value, str):
                    raise self._wrong("a label is text alone")
                labels.append(label.value)
            else:
                labels.append(self._identifier())
            self._skip()
        self._expect("{")
        self._nest()
        body = self._body()
        self.nesting -= 1
        self._expect("}")
        return Block(type=name, labels=tuple(labels), body=body)

    def _end_of_line(self) -> None:
        self._skip()
        comment = _COMMENT.match(self.text, self.at)
        self.at = comment.end() if comment else self.at
        if not (self.at == len(self.text) or self.text[self.at] in "\r\n}"):
            raise self._wrong("a line ends after an attribute or a block")

    # Expressions.

    def _expression(self) -> Node:
        self._nest()
        start = self._start()
        condition = self._operators(0)
        self._skip()
        if self._take("?"):
            yes = self._expression()
            self._expect(":")
            no = self._expression()
            condition = Conditional(condition=condition, yes=yes, no=no, start=start, end=self.at)
        self.nesting -= 1
        return condition

    def _operators(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        start, left = self._start(), self._operators(level + 1)
        while True:
            self._skip()
            operator = next((one for one in _LEVELS[level] if self._peek(one)), None)
            if operator is None or _COMMENT.match(self.text, self.at):
                return left
            self.at += len(operator)
            right = self._operators(level + 1)
            left = Binary(operator=operator, left=left, right=right, start=start, end=self.at)

    def _unary(self) -> Node:
        start = self._start()
        for operator in "!-":
            if self._peek(operator) and not self._peek("!="):
                self.at += 1
                self._nest()
                operand = self._unary()
                self.nesting -= 1
                return Unary(operator=operator, operand=operand, start=start, end=self.at)
        return self._with_members(self._term(), start)

    def _with_members(self, node: Node, start: int) -> Node:
        while True:
            if self._peek(".") and not self._peek("..."):
                self.at += 1
                key: Node = self._member()
            elif self._peek("["):
                if re.compile(r"\[\s*\*").match(self.text, self.at):
                    raise self._wrong("a splat is not read without buildx")
                self._open("[")
                key = self._expression()
                self._close("]")
            else:
                return node
            node = Index(of=node, key=key, start=start, end=self.at)

    def _member(self) -> Literal:
        start = self.at
        if number := re.compile("[0-9]+").match(self.text, self.at):
            self.at = number.end()
            return Literal(value=Decimal(number[0]), start=start, end=self.at)
        if self._peek("*"):
            raise self._wrong("a splat is not read without buildx")
        return Literal(value=self._identifier(), start=start, end=self.at)

    def _term(self) -> Node:
        start = self._start()
        if self._peek('"'):
            return self._quoted()
        if self._peek("<<"):
            return self._heredoc()
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            return Literal(value=Decimal(number[0]), start=start, end=self.at)
        if self._peek("("):
            self._open("(")
            inner = self._expression()
            self._close(")")
            return inner
        if self._peek("["):
            return self._items(start)
        if self._peek("{"):
            return self._pairs(start)
        name = self._identifier()
        if self._peek("("):
            return self._call(name, start)
        if self._peek("::"):
            raise self._wrong("a function in a namespace is not read without buildx")
        if name in _CONSTANTS:
            return Literal(value=_CONSTANTS[name], start=start, end=self.at)
        return Name(name=name, start=start, end=self.at)

    def _call(self, name: str, start: int) -> Call:
        arguments: list[Node] = []
        expands = False
        self._open("(")
        while not self._peek(")"):
            arguments.append(self._expression())
            self._skip()
            if self._take("..."):
                expands = True
                self._skip()
                break
            if not self._take(","):
                break
            self._skip()
        self._close(")")
        return Call(name=name, arguments=tuple(arguments), expands=expands, start=start, end=self.at)

    def _items(self, start: int) -> Node:
        self._open("[")
        if self._is_for():
            return self._for("]", start)
        items = []
        while not self._peek("]"):
            items.append(self._expression())
            self._skip()
            if not self._take(","):
                break
            self._skip()
        self._close("]")
        return Items(items=tuple(items), start=start, end=self.at)

    def _pairs(self, start: int) -> Node:
        """Read an object: line ends separate its members, so they are no white space between them."""
        depth, self.depth = self.depth, 0
        self.at += 1
        self._skip_lines()
        if self._is_for():
            self.depth = depth + 1
            return self._for("}", start)
        pairs = []
        while not self._peek("}"):
            key = self._key()
            self._skip()
            if not (self._take(":") or (not self._peek("==") and self._take("="))):
                raise self._wrong("`=` or `:` is expected after a key")
            self._skip_lines()
            pairs.append((key, self._expression()))
            self._skip()
            before = self.at
            self._skip_lines()
            if not self._peek("}") and not self._take(",") and "\n" not in self.text[before : self.at]:
                raise self._wrong("`,` or a line end is expected between two members")
            self._skip_lines()
        self.at += 1
        self.depth = depth
        return Pairs(pairs=tuple(pairs), start=start, end=self.at)

    def _key(self) -> Node:
        start = self.at
        if bare := _IDENTIFIER.match(self.text, self.at):
            rest = _SPACE.match(self.text, bare.end())
            after = self.text[rest.end() if rest else bare.end() :][:1]
            if after in "=:":
                self.at = bare.end()
                return Literal(value=bare[0], start=start, end=self.at)
            raise self._wrong("a key is a name, a text in quotes, or an expression in parentheses")
        return self._expression()

    def _is_for(self) -> bool:
        return re.compile(r"for\b(?!-)").match(self.text, self.at) is not None

    def _for(self, end: str, start: int) -> For:
        self.at += len("for")
        self._skip()
        names = [self._identifier()]
        self._skip()
        if self._take(","):
            self._skip()
            names.append(self._identifier())
            self._skip()
        if self._identifier() != "in":
            raise self._wrong("`in` is expected here")
        of = self._expression()
        self._expect(":")
        result, key = self._expression(), None
        self._skip()
        if end == "}":
            self._expect("=>")
            key, result = result, self._expression()
            self._skip()
            if self._peek("..."):
                raise self._wrong("grouping is not read without buildx")
        condition = None
        if re.compile(r"if\b(?!-)").match(self.text, self.at):
            self.at += len("if")
            condition = self._expression()
        self._close(end)
        return For(
            names=tuple(names), of=of, result=result, result_key=key, condition=condition, start=start, end=self.at
        )

    # Templates.

    def _quoted(self) -> Node:
        start = self.at
        self.at += 1
        parts: list[Node] = []
        literal, began = "", self.at
        while not self._peek('"'):
            if self.at >= len(self.text) or self.text[self.at] == "\n":
                self.at = start
                raise self._wrong("the quotes are not closed")
            if self.text[self.at] == "\\":
                literal += self._escape()
            elif opening := _OPENING.match(self.text, self.at):
                literal, began = self._hole(opening[0], parts, literal, began)
            else:
                literal += self.text[self.at]
                self.at += 1
        self.at += 1
        return self._joined(parts, literal, start, self.at)

    def template(self, end: int) -> Node:
        """Read a template without escapes, up to ``end``."""
        start, parts = self.at, list[Node]()
        literal, began = "", self.at
        while self.at < end:
            opening = _OPENING.search(self.text, self.at, end)
            stop = opening.start() if opening else end
            literal += self.text[self.at : stop]
            self.at = stop
            if opening:
                literal, began = self._hole(opening[0], parts, literal, began)
        return self._joined(parts, literal, start, end)

    def _hole(self, opening: str, parts: list[Node], literal: str, began: int) -> tuple[str, int]:
        """Read what stands at an opening; return the literal that goes on behind it, and where that began."""
        if len(opening) > 2:
            self.at += len(opening)
            return literal + opening[1:], began
        if opening == "%{":
            raise self._wrong("a template directive is not read without buildx")
        if literal:
            parts.append(Literal(value=literal, start=began, end=self.at))
        self.at += 2
        if self._peek("~"):
            raise self._wrong("the strip marker `~` is not read without buildx")
        self.depth += 1
        parts.append(self._expression())
        self._skip()
        if self._peek("~"):
            raise self._wrong("the strip marker `~` is not read without buildx")
        self._close("}")
        return "", self.at

    def _joined(self, parts: list[Node], literal: str, start: int, end: int) -> Node:
        if not parts:
            return Literal(value=literal, start=start, end=end)
        rest = (Literal(value=literal, start=start, end=end),) if literal else ()
        return Template(parts=(*parts, *rest), start=start, end=end)

    def _escape(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in _ESCAPES and letter:
            self.at += 2
            return _ESCAPES[letter]
        length = {"u": 4, "U": 8}.get(letter, 0)
        digits = self.text[self.at + 2 : self.at + 2 + length]
        if length and re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", digits) and int(digits, 16) <= 0x10FFFF:
            self.at += 2 + length
            return chr(int(digits, 16))
        raise self._wrong(f"`\\{letter}` is no escape sequence")

    def _heredoc(self) -> Node:
        opening = _HEREDOC.match(self.text, self.at)
        if opening is None:
            raise self._wrong("a heredoc begins with its marker alone on the rest of the line")
        end = re.compile(rf"^[ \t]*{re.escape(opening[2])}[ \t]*\r?$", re.MULTILINE).search(self.text, opening.end())
        if end is None:
            raise self._wrong(f"the heredoc has no line `{opening[2]}` at its end")
        start, body = self.at, self.text[opening.end() : end.start()]
        # Places in an indented heredoc are those of the whole: what is read is another text than the file's.
        inner = _Parser(Source(_without_indent(body) if opening[1] else body, self.source.path))
        node = inner.template(len(inner.text))
        self.at = end.end() - (1 if self.text[: end.end()].endswith("\r") else 0)
        return _moved(node, start, self.at)

    # Characters.

    def _skip(self) -> None:
        found = (_LINES if self.depth else _SPACE).match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _skip_lines(self) -> None:
        found = _LINES.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _start(self) -> int:
        self._skip()
        return self.at

    def _peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _take(self, text: str) -> bool:
        found = self._peek(text)
        self.at += len(text) if found else 0
        return found

    def _expect(self, text: str) -> None:
        self._skip()
        if not self._take(text):
            raise self._wrong(f"`{text}` is expected here")
        self._skip()

    def _open(self, bracket: str) -> None:
        self.at += len(bracket)
        self.depth += 1
        self._skip()

    def _close(self, bracket: str) -> None:
        self._skip()
        if not self._take(bracket):
            raise self._wrong(f"`{bracket}` is expected here")
        self.depth -= 1

    def _identifier(self) -> str:
        found = _IDENTIFIER.match(self.text, self.at)
        if found is None:
            raise self._wrong("a name or a value is expected here")
        self.at = found.end()
        return found[0]

    def _nest(self) -> None:
        self.nesting += 1
        if self.nesting > _DEEPEST:
            raise self._wrong(f"this nests deeper than {_DEEPEST} levels")

    def _wrong(self, what: str) -> HclSyntaxError:
        before = self.text[: self.at]
        line, column = before.count("\n") + 1, self.at - before.rfind("\n")
        path = f"{self.source.path}:{line}:{column}: " if self.source.path else ""
        rest = self.text[self.at :].split("\n", 1)[0][:40]
        return HclSyntaxError(
            f"{path}{what}" + (f": `{rest}`" if rest else ""),
            help="install Docker's buildx, which resolves every bake file, if this is right",
        )


def _without_indent(text: str) -> str:
    lines = text.split("\n")
    indents = [len(line) - len(line.lstrip(" \t")) for line in lines[:-1]]
    cut = min(indents, default=0)
    return "\n".join(line[min(cut, len(line) - len(line.lstrip(" \t"))) :] for line in lines)


def _moved(node: Node, start: int, end: int) -> Node:
    """Return a heredoc's content as if all of it stood where the whole does."""
    match node:
        case Template(parts=parts):
            return Template(parts=tuple(_moved(part, start, end) for part in parts), start=start, end=end)
        case Literal(value=value):
            return Literal(value=value, start=start, end=end)
        case Name(name=name):
            return Name(name=name, start=start, end=end)
        case Index(of=of, key=key):
            return Index(of=_moved(of, start, end), key=_moved(key, start, end), start=start, end=end)
        case Call(name=name, arguments=arguments, expands=expands):
            moved = tuple(_moved(one, start, end) for one in arguments)
            return Call(name=name, arguments=moved, expands=expands, start=start, end=end)
        case _:
            return node

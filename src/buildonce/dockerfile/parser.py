"""From a Dockerfile's bytes to its stages."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from buildonce.diagnostics import Diagnostic
from buildonce.dockerfile.arguments import Line
from buildonce.dockerfile.instructions import type_instruction
from buildonce.dockerfile.lexer import Lexed, Node, lex
from buildonce.dockerfile.problems import Fault, SyntaxProblem, diagnose, locate, source_lines
from buildonce.dockerfile.runes import encode
from buildonce.dockerfile.syntax import Arg, Dockerfile, Flag, From, Instruction, Span, Stage, TypedInstruction


def parse_dockerfile(content: bytes, path: str) -> Dockerfile:
    """Return the Dockerfile that ``content`` holds, as BuildKit reads it; ``path`` is its name in messages.

    Raises `SyntaxProblem` with everything that is wrong with it.
    """
    lexed = lex(content)
    lines = source_lines(lexed.text)
    reader = _Reader(path, lines, lexed)
    global_args, stages = reader.read()
    if reader.diagnostics:
        raise SyntaxProblem(sorted(reader.diagnostics, key=lambda found: found.line))
    return Dockerfile(
        path=path,
        text=lexed.text,
        directives=lexed.directives,
        escape=lexed.escape,
        global_args=global_args,
        stages=stages,
    )


def parse_trigger(expression: str, span: Span) -> TypedInstruction:
    """Return the instruction that an ONBUILD trigger holds, placed at ``span``; raise `Fault` when it holds none."""
    lexed = lex(encode(expression))
    if lexed.faults:
        raise lexed.faults[0][1]
    if len(lexed.nodes) != 1:
        raise Fault("DF026", "an ONBUILD trigger holds one instruction", needle=expression)
    node = lexed.nodes[0]
    typed = type_instruction(build_instruction(node, source_lines(lexed.text)))
    if isinstance(typed, From):
        raise Fault("DF026", "FROM cannot be an ONBUILD trigger", needle=expression)
    return replace(typed, instruction=replace(typed.instruction, span=span))


def build_instruction(node: Node, lines: Sequence[str]) -> Instruction:
    """Return the instruction that stands at ``node``, with its source and the places of its flags."""
    line = node.line
    return Instruction(
        keyword=line.keyword.lower().upper(),  # Go folds the Kelvin sign to k as well
        span=node.span,
        source="\n".join(lines[node.span.start - 1 : node.span.end]),
        original=line.original,
        flags=_flags(line, node.span, lines),
        args=line.args,
        words=line.words,
        json=line.words if line.is_json else None,
        heredocs=node.heredocs,
        comments=node.comments,
    )


def _flags(line: Line, span: Span, lines: Sequence[str]) -> tuple[Flag, ...]:
    flags = []
    for text in line.flags:
        name, equals, value = text[2:].partition("=")
        whole = locate(lines, span, text)
        place = whole if whole.width == len(text) else locate(lines, span, f"--{name}")
        flags.append(Flag(name=name, value=value if equals else None, place=place))
    return tuple(flags)


class _Reader:
    """The walk over a file's instructions that gathers stages and findings."""

    def __init__(self, path: str, lines: Sequence[str], lexed: Lexed) -> None:
        self.path = path
        self.lines = lines
        self.lexed = lexed
        self.diagnostics: list[Diagnostic] = []
        for span, fault in lexed.faults:
            self._report(fault, span)

    def read(self) -> tuple[tuple[Arg, ...], tuple[Stage, ...]]:
        global_args: list[Arg] = []
        stages: list[tuple[From, list[TypedInstruction]]] = []
        is_complete = True  # as long as every instruction so far could be read
        for node in self.lexed.nodes:
            typed = self._type(node)
            if typed is None:
                is_complete = False
            elif isinstance(typed, From):
                stages.append((typed, []))
            elif stages:
                stages[-1][1].append(typed)
            elif isinstance(typed, Arg):
                global_args.append(typed)
            elif is_complete:
                message = f"{typed.keyword} stands before the first FROM"
                self._report(Fault("DF016", message, help="only ARG may stand before FROM"), typed.span)
                is_complete = False
        if not stages and not self.diagnostics:
            self._report(
                Fault("DF017", "this Dockerfile has no stage", help="add `FROM <image>`"), Span(start=1, end=1)
            )
        return tuple(global_args), tuple(_stage(index, *stage) for index, stage in enumerate(stages))

    def _type(self, node: Node) -> TypedInstruction | None:
        try:
            return type_instruction(build_instruction(node, self.lines))
        except Fault as fault:
            self._report(fault, node.span)
            return None

    def _report(self, fault: Fault, span: Span) -> None:
        self.diagnostics.append(diagnose(fault, path=self.path, lines=self.lines, span=span))


def _stage(index: int, from_: From, instructions: list[TypedInstruction]) -> Stage:
    last = instructions[-1] if instructions else from_
    span = Span(start=from_.span.start, end=last.span.end)
    return Stage(index=index, name=from_.name, from_=from_, instructions=tuple(instructions), span=span)

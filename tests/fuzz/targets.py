"""What is fuzzed: functions that take any bytes and let nothing through but the project's own errors.

Each also checks what must hold whatever the bytes are, so that a fuzzer finds wrong answers and not only crashes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

from buildonce.dockerfile.durations import parse_duration
from buildonce.dockerfile.evaluation import BaseState, evaluate_stage
from buildonce.dockerfile.globs import has_wildcard, match_glob
from buildonce.dockerfile.ignore import compile_ignore, compile_patterns
from buildonce.dockerfile.mounts import read_mount, resolve_device, resolve_mount
from buildonce.dockerfile.parser import parse_dockerfile, parse_trigger
from buildonce.dockerfile.platforms import parse_loose_platform
from buildonce.dockerfile.ports import parse_port
from buildonce.dockerfile.problems import Fault, SyntaxProblem
from buildonce.dockerfile.rewriting import append_stage, blank_instructions
from buildonce.dockerfile.runes import decode, encode
from buildonce.dockerfile.stages import resolve_stages
from buildonce.dockerfile.syntax import Span
from buildonce.dockerfile.words import expand, expand_words, split_words
from buildonce.errors import Error
from buildonce.oci import Platform
from buildonce.reference import parse_reference
from tests.fuzz.archives import fuzz_archive

SLOWEST = 1.0
"""Seconds of processor time that an input of a few kilobytes may take."""

_LINUX = Platform(os="linux", architecture="amd64")
_NAMES = ("a", "b", "HOME", "x1", "_")


class TooSlow(AssertionError):
    """An input takes longer than any input of its size should."""


def fuzz_parser(content: bytes) -> None:
    """Read a Dockerfile, rewrite it, and walk its stages."""
    try:
        file = parse_dockerfile(content, "Dockerfile")
    except SyntaxProblem as problem:
        _check_places(problem, content)
        return
    assert encode(file.text) == content
    instructions = [typed for stage in file.stages for typed in (stage.from_, *stage.instructions)]
    blank = blank_instructions(file, [typed.span for typed in instructions[1:]])
    assert blank.count("\n") == file.text.count("\n")
    with suppress(Fault):
        longer = parse_dockerfile(encode(append_stage(file.text, ("FROM scratch AS appended",))), "Dockerfile")
        assert [stage.name for stage in longer.stages] == [*(stage.name for stage in file.stages), "appended"]
    with suppress(Error):
        graph = resolve_stages(file, build_args={"a": "1"}, target_platform=_LINUX, build_platform=_LINUX)
        for stage in graph.stages:
            with suppress(Error):
                evaluate_stage(graph, stage, BaseState(env={"HOME": "/root"}))


def _check_places(problem: SyntaxProblem, content: bytes) -> None:
    last = content.count(b"\n") + 1
    assert all(1 <= one.line <= last and one.column >= 1 for one in problem.diagnostics)
    assert str(problem)


def fuzz_words(content: bytes) -> None:
    """Expand the bytes before the first NUL, with variables that have those between the others."""
    word, *values = decode(content).split("\0")
    env = dict(zip(_NAMES, values, strict=False))
    for escape in "\\`":
        for quotes in (True, False):
            with suppress(Error):
                expansion = expand(word, env, escape=escape, quotes=quotes)
                assert expansion.used <= env.keys()
                assert not expansion.unset & env.keys()
        with suppress(Error):
            assert all(expand_words(word, env, escape=escape))
    for raw_quotes in (True, False):
        for raw_escapes in (True, False):
            with suppress(Error):
                split_words(word, raw_quotes=raw_quotes, raw_escapes=raw_escapes)


def fuzz_ignore(content: bytes) -> None:
    """Match the path before the first NUL by the ignore file after it; a walk must come to the same answer."""
    path, _, text = decode(content).partition("\0")
    names = [name for name in path.split("/") if name not in ("", ".", "..")]
    path = "/".join(names)
    for compile_ in (compile_ignore, lambda text: compile_patterns(text.split("\n"))):
        with suppress(Error):
            rules = compile_(text)
            parent: tuple[bool, ...] = ()
            excluded = False
            for end in range(1, len(names) + 1):
                excluded, parent = rules.enter("/".join(names[:end]), parent)
            if names and not rules.has_exceptions:  # with them, a walk and a look differ, as they do in BuildKit
                assert excluded == rules.excludes(path)
            for rule in rules.patterns:
                if rule.parts and 0 < len(path) <= rule.longest:
                    assert rule.matches(path) == replace(rule, longest=0).matches(path)
    for pattern in text.split("\n"):
        with suppress(Error):
            if not match_glob(pattern, path) and not has_wildcard(pattern) and "\\" not in pattern:
                assert pattern != path


def fuzz_values(content: bytes) -> None:
    """Read the small forms: mounts, devices, ports, times, platforms, image names, triggers."""
    text = decode(content)
    assert (parse_duration(text) or 0) < 1 << 63
    readers: tuple[Callable[[str], object], ...] = (
        read_mount,
        lambda text: resolve_mount(text, str),
        resolve_device,
        parse_port,
        lambda text: parse_loose_platform(text, _LINUX),
        parse_reference,
        lambda text: parse_trigger(text, Span(start=1, end=1)),
    )
    for read in readers:
        with suppress(Error):
            read(text)


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "archive": fuzz_archive,
        "ignore": fuzz_ignore,
        "parser": fuzz_parser,
        "values": fuzz_values,
        "words": fuzz_words,
    }
)


def run_target(name: str, content: bytes) -> None:
    """Run one target; raise what it should not have raised, and `TooSlow` when it took too long."""
    before = time.process_time()
    TARGETS[name](content)
    if time.process_time() - before > SLOWEST:
        raise TooSlow(name, content)

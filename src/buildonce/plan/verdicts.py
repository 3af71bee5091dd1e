"""Verdicts: assemble, assemble after proof, or leave the image to the engine, each with its reason.

A verdict taken here is only ever the careful one of two: a tail that plainly reads what was copied goes to the engine
without a try. Whatever is not seen here is found by the proof, which compares the results.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from msgspec import Struct

from buildonce.dockerfile.syntax import Add, Copy, Run
from buildonce.plan.chains import Chain, ChainStep

_WORD_ENDS = re.compile(r"[\s;&|()<>'\"`=,]+")
_COMMAND_ENDS = re.compile(r"[;&|\n]+")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_CHANGES_TREES = frozenset(
    {"chown", "chmod", "chgrp", "setfacl", "chattr", "rm", "mv", "find", "strip", "upx", "setcap"}
)
_BEFORE_PROGRAMS = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "exec"})
_REDIRECTED = re.compile(r"(?<!<)(?:<(?!<)|>+)\s*([^\s;&|<>()'\"`]+)")
_SUBSTITUTED = re.compile(r"\$\(|[<>]\(|`")
_TAKE_TEXT = frozenset({"echo", "printf"})
_TAKE_NAMES = frozenset({"addgroup", "adduser", "apk", "apt", "apt-get", "groupadd", "useradd", "usermod"})
_TAKE_OWNER_OR_MODE = frozenset({"chgrp", "chmod", "chown"})


class VerdictKind(Enum):
    """How an image comes about."""

    ASSEMBLE = "assemble"
    PROVE = "assemble after proof"
    ENGINE = "engine"


class Verdict(Struct, frozen=True, kw_only=True):
    """A verdict and its reason, a clause that can follow "because"."""

    kind: VerdictKind
    reason: str


def judge(
    chain: Chain, *, onbuild: tuple[str, ...], mounted: Sequence[str], system: str, root_context: str = ""
) -> Verdict:
    """Return the verdict on ``chain`` as far as its text tells.

    ``onbuild`` are the triggers of the external base, ``mounted`` the names of the stages outside the chain
    that its RUN instructions mount, ``system`` the platform's operating system, ``root_context`` the named context of
    files that the chain starts from.
    """
    obstacle = next(_obstacles(chain, onbuild, mounted, system), None)
    if root_context:
        obstacle = f"it starts from the files of the named context `{root_context}`"
    if obstacle:
        return Verdict(kind=VerdictKind.ENGINE, reason=obstacle)
    if chain.hoisted_over:
        tail = [step for step in chain.engine_steps if step.history > chain.hoisted_over[0].history]
        return Verdict(kind=VerdictKind.PROVE, reason=f"{_count(tail)} the copied files")
    if chain.late_copies:
        return Verdict(kind=VerdictKind.ASSEMBLE, reason="only file copies and metadata follow the base")
    return Verdict(kind=VerdictKind.ASSEMBLE, reason="it takes nothing from another stage")


def _count(tail: list[ChainStep]) -> str:
    keywords = sorted(
        {step.step.instruction.keyword for step in tail if isinstance(step.step.expanded, Run | Copy | Add)}
    )
    names = " and ".join(keywords) or "other instructions"
    return f"{names} {'follows' if len(keywords) == 1 else 'follow'}"


def _obstacles(chain: Chain, onbuild: tuple[str, ...], mounted: Sequence[str], system: str) -> Iterator[str]:
    if system == "windows":
        yield "Windows images are not assembled"
    if onbuild:
        yield f"its base image has ONBUILD triggers (`{onbuild[0]}`)"
    for step in chain.steps:
        if step.step.is_trigger:
            yield f"an ONBUILD trigger of the stage it is built on runs `{step.text}`"
    for name in mounted:
        yield f"RUN --mount reads stage `{name}` while the image is built"
    for copy in chain.hoisted_over:
        for step in chain.engine_steps:
            if step.history > copy.history and (word := _named(step, copy)):
                yield (
                    f"line {step.span.start}: `{_shorten(step.text)}` names `{word}`, "
                    f"which line {copy.span.start} copies"
                )


def copied_paths(copy: ChainStep) -> frozenset[str]:
    """Return the absolute paths at which a late copy may put something, as far as its text tells."""
    expanded = copy.step.expanded
    assert isinstance(expanded, Copy)  # noqa: S101  a late copy is a COPY
    target = posixpath.normpath(posixpath.join(copy.step.workdir, expanded.destination))
    names = {posixpath.basename(source.rstrip("/")) for source in expanded.sources}
    return frozenset({target, *(posixpath.join(target, name) for name in names if name)} - {"/"})


def _named(step: ChainStep, copy: ChainStep) -> str | None:
    """Return the word of a RUN that names what ``copy`` brings, or a directory around it that the RUN rewrites."""
    if not isinstance(step.step.expanded, Run):
        return None
    paths = copied_paths(copy)
    programs = {posixpath.basename(path) for path in paths}
    around = {parent for path in paths for parent in _parents(path)}
    for command in _commands(step):
        words = _words(command)
        rewrites = any(posixpath.basename(word) in _CHANGES_TREES for word in words)
        for number, word in enumerate(words):
            if _is_no_file(words, number, command):
                continue
            path = posixpath.normpath(posixpath.join(step.step.workdir, word))
            if word in programs or any(fnmatch.fnmatchcase(known, path) for known in paths):
                return word
            if rewrites and word.startswith(("/", ".")) and path in around:
                return word
            # A shell looks for a program without a slash in PATH, not in the working directory.
            if (number or "/" in word) and any(path.startswith(known + "/") for known in paths):
                return word
    return None


def _words(command: str) -> list[str]:
    """Return a simple command's words, the program first."""
    words = [word for word in _WORD_ENDS.split(command) if word]
    start = next((number for number, word in enumerate(words) if word not in _BEFORE_PROGRAMS), 0)
    return words[start:]


def _is_no_file(words: Sequence[str], number: int, command: str) -> bool:
    """Say whether a word after the program is plainly no file that is read or changed."""
    word, program = words[number], posixpath.basename(words[0])
    if not number or _SUBSTITUTED.search(command):
        return False
    if word.startswith(("-", "+")):
        return True
    if program == "ln" and number < len(words) - 1:  # where a symbolic link leads to is text
        return not _REDIRECTED.search(command) and any(re.fullmatch("-[a-z]*s[a-z]*|--symbolic", one) for one in words)
    if any(character in word for character in "/*?["):
        return False
    if program == "set":
        return word == "pipefail"
    if program in _TAKE_TEXT:
        return word not in _REDIRECTED.findall(command)
    if program in _TAKE_NAMES:
        return "." not in word and not _REDIRECTED.search(command)
    plain = [one for one in words[1:] if not one.startswith(("-", "+"))]
    return program in _TAKE_OWNER_OR_MODE and "--reference" not in words and word == plain[0] not in plain[1:]


def _commands(step: ChainStep) -> Iterable[str]:
    """Return the simple commands of a RUN, with the variables that are known while it runs put in."""
    expanded = step.step.expanded
    assert isinstance(expanded, Run)  # noqa: S101  the caller looked
    env = step.step.env
    text = "\n".join((*expanded.command, *(heredoc.text for heredoc in expanded.heredocs)))
    replaced = _VARIABLE.sub(lambda found: env.get(found[1] or found[2], found[0]), text)
    return _COMMAND_ENDS.split(replaced) if expanded.shell_form else [" ".join(expanded.command)]


def _parents(path: str) -> Iterator[str]:
    while path not in ("/", ""):
        path = posixpath.dirname(path)
        yield path


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."

"""What the instructions after a late copy have to do with what it brings, as far as their text tells."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet

from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.syntax import Run
from buildonce.plan.commands import UNKNOWN, Command, read_commands

_CHANGES_TREES = frozenset(
    {"chown", "chmod", "chgrp", "setfacl", "chattr", "rm", "mv", "find", "strip", "upx", "setcap"}
)
_REDIRECTED = re.compile(r"(?<!<)(?:<(?!<)|>+)\s*([^\s;&|<>()'\"`]+)")
_SUBSTITUTED = re.compile(r"\$\(|[<>]\(|`")
_WILD = re.compile(rf"[*?\[{UNKNOWN}]")
_TAKE_TEXT = frozenset({"echo", "printf"})
_TAKE_NAMES = frozenset({"addgroup", "adduser", "apk", "apt", "apt-get", "groupadd", "useradd", "usermod"})
_TAKE_OWNER_OR_MODE = frozenset({"chgrp", "chmod", "chown"})


def named_word(step: Step, paths: Iterable[str], programs: AbstractSet[str] = frozenset()) -> str | None:
    """Return the word of a RUN that names one of ``paths``, or a directory around one that the RUN rewrites.

    ``programs`` are names by which something of it can be called wherever it is.
    """
    return named_in(read_commands(step), paths, programs) if isinstance(step.expanded, Run) else None


def named_in(commands: Iterable[Command], paths: Iterable[str], programs: AbstractSet[str]) -> str | None:
    """Return what `named_word` does, for commands."""
    known = frozenset(paths)
    around = {parent for path in known for parent in _parents(path)}
    for command in commands:
        rewrites = any(posixpath.basename(word) in _CHANGES_TREES for word in command.words)
        for number, word in _possible_files(command):
            if word.strip(UNKNOWN) == "":
                continue
            meant = tuple(command.paths(word))
            # A shell looks for a program without a slash in PATH, not in the working directory.
            may_be_below = number > 0 or "/" in word
            if (
                word in programs
                or any(_means(path, known) for path in meant)
                or (rewrites and number and any(_means(path, around) for path in meant))
                or (may_be_below and any(_is_below(path, known) for path in meant))
            ):
                return word.replace(UNKNOWN, "...")
    return None


def _means(path: str, paths: AbstractSet[str]) -> bool:
    """Say whether a path, which can have wildcards, can be one of these."""
    if path in paths:
        return True
    pattern = path.replace(UNKNOWN, "*")
    return _WILD.search(path) is not None and any(fnmatch.fnmatchcase(known, pattern) for known in paths)


def _is_below(path: str, directories: AbstractSet[str]) -> bool:
    return any(path.startswith(known + "/") for known in directories)


def _possible_files(command: Command) -> Iterator[tuple[int, str]]:
    """Yield the words of a command, with their numbers, that are not plainly something else than a file."""
    is_substituted = _SUBSTITUTED.search(command.text) is not None
    is_no_file = _kinds_of_words(command)
    for number, word in enumerate(command.words):
        if word.startswith(("-", "+")) and number and not is_substituted:
            if "/" in word:
                yield number, word[word.find("/") :]
        elif not number or is_substituted or not is_no_file(number, word):
            yield number, word


def _kinds_of_words(command: Command) -> Callable[[int, str], bool]:
    """Return what says whether a word after the program is plainly no file that is read or changed."""
    words, program = command.words, command.program
    redirected = frozenset(_REDIRECTED.findall(command.text))
    if program == "ln":  # where a symbolic link leads to is text
        is_symbolic = any(re.fullmatch("-[a-z]*s[a-z]*|--symbolic", one) for one in words) and not redirected
        return lambda number, _: is_symbolic and number < len(words) - 1
    if program == "set":
        return lambda _, word: word == "pipefail"
    if program in _TAKE_TEXT:
        return lambda _, word: not _is_like_a_path(word) and word not in redirected
    if program in _TAKE_NAMES:
        return lambda _, word: not _is_like_a_path(word) and "." not in word and not redirected
    if program in _TAKE_OWNER_OR_MODE and "--reference" not in words:
        first, *others = (*(one for one in words[1:] if not one.startswith(("-", "+"))), "")
        return lambda _, word: word == first and word not in others and not _is_like_a_path(word)
    return lambda _number, _word: False


def _is_like_a_path(word: str) -> bool:
    return any(character in word for character in "/*?[")


def _parents(path: str) -> Iterator[str]:
    while path not in ("/", ""):
        path = posixpath.dirname(path)
        yield path

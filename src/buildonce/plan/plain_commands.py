"""Commands whose result does not depend on what is in any file, so that only names, types and modes matter to them.

`mkdir`, `chown`, `useradd` and their like are what most Dockerfiles have after the files that they copy. Everything
else (a package manager, a script, a program) may read what it likes, named or not.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator

from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.syntax import Run
from buildonce.plan.commands import BEFORE_PROGRAMS, SHELLS, UNKNOWN, assigned, put_in

_FILES = ("chgrp", "chmod", "chown", "ln", "mkdir", "mkfifo", "mknod", "rm", "rmdir", "touch")
_ACCOUNTS = ("addgroup", "adduser", "groupadd", "groupmod", "useradd", "usermod")
_OF_THE_SHELL = (":", "[", "cd", "echo", "exit", "export", "false", "printf", "pwd", "set", "test", "true", "umask")
_PLAIN = frozenset((*_FILES, *_ACCOUNTS, *_OF_THE_SHELL))
_KEYWORDS = frozenset(("done", "esac", "fi", "}"))
_TAKE_ANY_WORD = frozenset({":", "[", "echo", "exit", "export", "printf", "set", "test", "unset"})
_TESTS_OF_CONTENT = frozenset({"-s", "-nt", "-ot", "-ef", "-N"})
_SHELL_OPTIONS = re.compile("-[ceux]*o?|pipefail")
_SETS_UP_PROGRAMS = re.compile(r"(?:PATH|IFS|ENV|BASH_ENV|LD_\w+)=")
_NOT_READ_HERE = re.compile(r"`|\$\(|<|>\(|\n|\bcase\b|\bfunction\b|\(\s*\)")
_OPERATOR = re.compile(r"[;&|()]+")
_LIBRARY = re.compile(r"\.so(?:\.|$)")
_REDIRECTION = re.compile(r"[>&|]*>[>&|]*")


def depend_on_names_alone(steps: Iterable[Step], brought: Iterable[str]) -> bool:
    """Say whether all that these instructions do is sure to be the same whatever is in the files ``brought``.

    That is so if they run plain commands alone, none of which can come from there, read its settings or its libraries.
    """
    programs: set[str] = set()
    for step in steps:
        found = plain_programs(step)
        if found is None:
            return False
        programs |= found
    if not programs:
        return True
    names = {path: posixpath.basename(path) for path in brought}
    return not any(
        path.startswith("/etc/") or name in programs or _LIBRARY.search(name) for path, name in names.items()
    )


def plain_programs(step: Step) -> frozenset[str] | None:
    """Return the names of the programs that a RUN runs if all of them are plain commands; else None."""
    run = step.expanded
    if not isinstance(run, Run):
        return frozenset()
    if run.heredocs or {"ENV", "BASH_ENV"} & step.env.keys() or any(name.startswith("LD_") for name in step.env):
        return None
    if not run.shell_form:
        return _programs([list(run.command)])
    shell = step.shell or ("/bin/sh", "-c")
    is_known = posixpath.basename(shell[0]) in SHELLS and all(_SHELL_OPTIONS.fullmatch(word) for word in shell[1:])
    script = run.command[0]
    if not is_known or _NOT_READ_HERE.search(script):
        return None
    text = put_in(script, {**step.env, **assigned(script, step.env)})
    found = None if "\n" in text else _programs(_simple_commands(text))
    return None if found is None else found | {posixpath.basename(shell[0])}


def _programs(commands: Iterable[list[str]] | None) -> frozenset[str] | None:
    if commands is None:
        return None
    found = set()
    for command in commands:
        words = list(_program_first(command))
        if words and not _is_plain(words):
            return None
        found |= {posixpath.basename(word) for word in words[:1]}
    return frozenset(found)


def _simple_commands(text: str) -> list[list[str]] | None:
    """Return the words of each simple command, quotes removed; None for a text that is not understood."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        tokens = list(lexer)
    except ValueError:
        return None
    commands: list[list[str]] = [[]]
    for token in tokens:
        if _OPERATOR.fullmatch(token):
            commands.append([])
        elif not _REDIRECTION.fullmatch(token):
            commands[-1].append(token)
    return commands


def _program_first(command: list[str]) -> Iterator[str]:
    """Yield a command's words without keywords, and without variables that are set for it."""
    words = iter(command)
    for word in words:
        if word == "for":
            return
        is_assignment = re.match(r"[A-Za-z_]\w*=", word) and not _SETS_UP_PROGRAMS.match(word)
        if not (is_assignment or word in BEFORE_PROGRAMS or word in _KEYWORDS):
            yield word
            yield from words


def _is_plain(words: list[str]) -> bool:
    folder, program = posixpath.split(words[0])
    if program not in _PLAIN or folder not in ("", "/bin", "/sbin", "/usr/bin", "/usr/sbin"):
        return program == "install" and "-d" in words
    if program in _TAKE_ANY_WORD:
        return program not in ("[", "test") or not _TESTS_OF_CONTENT & set(words)
    return all(word.strip(UNKNOWN) for word in words)

"""What the text of a RUN says: its simple commands, each with its words and the directories it may run in.

This is no shell. It reads a text so that a word which a shell would put together is rather seen once too often than not
at all: variables are put in where they are known, quotes are read both as ends of words and as if they were not there.
What is not known, of whatever length, is `UNKNOWN`.
"""

from __future__ import annotations

import posixpath
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.syntax import Run

UNKNOWN = "\0"
"""Stands in a word for what only the shell knows."""

SHELLS = frozenset({"sh", "ash", "bash", "dash"})
BEFORE_PROGRAMS = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "exec", "command"})

_COMMAND_ENDS = re.compile(r"[;&|\n]+")
_WORD_ENDS = re.compile(r"[\s;&|()<>'\"`=,{}]+")
_QUOTES = str.maketrans("", "", "'\"\\")
_LONGEST = 4096
"""No path is longer, so of longer values and words nothing is asked."""

_ASSIGNED = re.compile(r"(?<![\w/.-])([A-Za-z_]\w*)=(\"[^\"]{0,4096}\"|'[^']{0,4096}'|[^\s;&|()<>\"'`]*)")
_ASSIGNED_FIRST = re.compile(rf"\s*(?:{_ASSIGNED.pattern}\s+)+")
_ASSIGNED_LATER = re.compile(
    r"\b(?:for|read|getopts\s+\S{1,60})\s+((?:-\w{1,9}\s+){0,3}[A-Za-z_]\w*(?:[ \t]+[A-Za-z_]\w*){0,9})"
)
_ALTERNATIVES = re.compile(r"\{([^\s{},]*(?:,[^\s{},]*)+)\}")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|\{([^}]{0,400})\}|([A-Za-z_]\w*)|([0-9@*#?$!-]))")
_HOME = re.compile(r"(?<![\w/.$-])~[\w.-]{0,100}(?=/|[\s;&|)]|$)")
_MOST_FOLDERS = 50
_MOST_WORDS = 200


class Command(Struct, frozen=True, kw_only=True):
    """A simple command: its words, the program first, and the text that they are of.

    ``folders`` are the directories that relative words can be meant in.
    """

    words: tuple[str, ...]
    text: str
    folders: tuple[str, ...]

    @property
    def program(self) -> str:
        """The name of what it runs."""
        return posixpath.basename(self.words[0])

    def paths(self, word: str) -> Iterator[str]:
        """Yield what a word can mean as a path; it is absolute, or begins with what is not known."""
        for folder in self.folders:
            yield resolve(folder, word)


def read_commands(step: Step) -> tuple[Command, ...]:
    """Return the simple commands of a RUN in their order, some of them in several readings."""
    run = step.expanded
    assert isinstance(run, Run)  # noqa: S101  the caller looked
    script = shell_text(run)
    if script is None:
        return tuple(_readings(" ".join(run.command), (step.workdir,)))
    return read_script("\n".join((script, *(heredoc.text for heredoc in run.heredocs))), step.env, step.workdir)


def read_script(script: str, env: Mapping[str, str], workdir: str) -> tuple[Command, ...]:
    """Return the simple commands of a shell's script in their order, some of them in several readings."""
    texts = _COMMAND_ENDS.split(script)
    folders = [workdir]
    found: dict[Command, None] = {}
    for values in (env, {**env, **assigned(script, env)}):
        for text in texts:
            for command in _readings(put_in(text, values), tuple(folders)):
                found[command] = None
                if command.program in ("cd", "pushd") and len(command.words) > 1 and len(folders) < _MOST_FOLDERS:
                    folders += [path for path in command.paths(command.words[-1]) if path not in folders]
    return tuple(found)


def shell_text(run: Run) -> str | None:
    """Return what a RUN gives to a shell; None if it runs a program without one."""
    if run.shell_form:
        return run.command[0]
    words = run.command
    is_shell = bool(words) and posixpath.basename(words[0]) in SHELLS and "-c" in words[1:-1]
    return words[words.index("-c") + 1] if is_shell else None


def assigned(script: str, env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that a script sets itself; `UNKNOWN` is the value of one that has several."""
    found: dict[str, str] = {}
    known = ChainMap(found, dict(env))
    for one in _ASSIGNED.finditer(script):
        text = script[one.start(2) : one.end() + 1]
        value = put_in(one[2].translate(_QUOTES), known)
        is_known = "`" not in text and "$(" not in text and found.get(one[1], value) == value
        found[one[1]] = value if is_known and len(value) < _LONGEST else UNKNOWN
    for names in _ASSIGNED_LATER.findall(script):
        found |= dict.fromkeys(names.split(), UNKNOWN)
    return found


def put_in(text: str, values: Mapping[str, str]) -> str:
    """Return a text with variables put in; the word in ``${name:-word}`` follows as a command of its own."""
    others: list[str] = []

    def value(found: re.Match[str]) -> str:
        if found[2]:
            others.extend(re.findall(r"^\w+:?[-+=?](.*)", found[2]))
        known = values.get(found[1] or found[3] or "", UNKNOWN)
        return known if len(known) < _LONGEST else UNKNOWN

    replaced = _HOME.sub(UNKNOWN, _VARIABLE.sub(value, text))
    return "\n: ".join((replaced, *others))


def resolve(folder: str, word: str) -> str:
    """Return the path that a word means in a directory; what begins with an unknown part can be anywhere."""
    return posixpath.normpath(word if word.startswith(UNKNOWN) else posixpath.join(folder, word))


def _readings(text: str, folders: tuple[str, ...]) -> Iterator[Command]:
    seen: set[tuple[str, ...]] = set()
    if "{" in text:
        text = " ".join(one for word in text.split(" ") for one in _alternatives(word))
    for reading in (text, text.translate(_QUOTES)):
        for line in reading.split("\n"):
            for words in _called(_words(line)):
                if words and words not in seen:
                    seen.add(words)
                    yield Command(words=words, text=line, folders=folders)


def _alternatives(word: str) -> Sequence[str]:
    """Return the words that ``x{a,b}y`` stands for, as far as they stay few and short."""
    done: list[str] = []
    rest = [word]
    while rest:
        one = rest.pop()
        is_small = len(one) < _LONGEST and len(done) + len(rest) < _MOST_WORDS
        if found := _ALTERNATIVES.search(one) if is_small else None:
            rest += [f"{one[: found.start()]}{part}{one[found.end() :]}" for part in found[1].split(",")]
        else:
            done.append(one)
    return done


def _called(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a command's words, and those of the command in ``sh -c 'command'``."""
    yield words
    if len(words) > 2 and posixpath.basename(words[0]) in SHELLS and re.fullmatch("-[a-z]*c[a-z]*", words[1]):
        yield words[2:]


def _words(text: str) -> tuple[str, ...]:
    """Return a command's words, the program first, and the values of variables that are set for it alone last."""
    found = _ASSIGNED_FIRST.match(text)
    first, rest = (found[0], text[found.end() :]) if found else ("", text)
    words = _without_keywords([word for word in _WORD_ENDS.split(rest) if word])
    return (*words, *(word for word in _WORD_ENDS.split(first) if word))


def _without_keywords(words: Sequence[str]) -> Sequence[str]:
    start = next((number for number, word in enumerate(words) if word not in BEFORE_PROGRAMS), 0)
    return words[start:]

"""An instruction with the variables in it replaced.

Which words are expanded, and which are not, is BuildKit's choice: the ``Expand`` methods in
frontend/dockerfile/instructions/commands.go. CMD, ENTRYPOINT, RUN's command, HEALTHCHECK, SHELL, ONBUILD, ``--from``
and ``--exclude`` are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from buildonce.dockerfile.mounts import resolve_mount
from buildonce.dockerfile.ports import parse_port
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import escape_invalid, has_invalid
from buildonce.dockerfile.syntax import (
    Add,
    Copy,
    Env,
    Expose,
    Heredoc,
    Label,
    Run,
    Stopsignal,
    TypedInstruction,
    User,
    Volume,
    Workdir,
)
from buildonce.dockerfile.words import expand, expand_words

_SIGNAL = re.compile(
    "ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|TRAP"
    "|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTM(?:IN|AX)|RTMIN[+](?:[1-9]|1[0-5])|RTMAX-(?:[1-9]|1[0-4])"
)
_SYMBOLIC_MODE = re.compile(r"[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*")


@dataclass(slots=True)
class Expander:
    """Expansion under one environment that notes which names it met."""

    env: Mapping[str, str]
    escape: str
    used: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)

    def word(self, text: str) -> str:
        """Return one word expanded."""
        return self._expand(text, escape=self.escape, quotes=True)

    def optional(self, text: str | None) -> str | None:
        """Return a flag's value expanded; nothing when it comes out empty."""
        return (self.word(text) or None) if text else None

    def all(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Return every word expanded."""
        return tuple(self.word(text) for text in texts)

    def split(self, text: str) -> tuple[str, ...]:
        """Return what a word expands to, split at spaces."""
        self.word(text)
        return expand_words(text, self.env, escape=self.escape)

    def pairs(self, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Return names and values expanded."""
        return tuple((self.word(name), self.word(value)) for name, value in pairs)

    def heredocs(self, heredocs: tuple[Heredoc, ...]) -> tuple[Heredoc, ...]:
        """Return files given in place as they are written to the image; their escape character is ``\\``."""
        return tuple(
            replace(heredoc, content=self._raw(heredoc.text) if heredoc.expand else heredoc.text, strip_tabs=False)
            for heredoc in heredocs
        )

    def _raw(self, text: str) -> str:
        return self._expand(text, escape="\\", quotes=False)

    def _expand(self, text: str, *, escape: str, quotes: bool) -> str:
        expansion = expand(text, self.env, escape=escape, quotes=quotes)
        self.used |= expansion.used
        self.unset |= expansion.unset
        return expansion.text


def expand_instruction(typed: TypedInstruction, expander: Expander) -> TypedInstruction:
    """Return the instruction as BuildKit executes it; ARG is left to the caller. Raises `Fault`."""
    match typed:
        case Run():
            _check_bytes(typed)
            mounts = tuple(resolve_mount(mount.text, expander.word) for mount in typed.mounts)
            return replace(typed, mounts=mounts)
        case Copy() | Add():
            return _expand_transfer(typed, expander)
        case Env() | Label():
            return replace(typed, pairs=expander.pairs(typed.pairs))
        case Expose():
            words = (word for port in typed.ports for word in expander.split(port))
            return replace(typed, ports=tuple(port for word in words for port in parse_port(word)))
        case Volume():
            return replace(typed, paths=_checked_volumes(expander.all(typed.paths)))
        case User():
            return replace(typed, user=expander.word(typed.user))
        case Workdir():
            return replace(typed, path=expander.word(typed.path))
        case Stopsignal():
            return replace(typed, signal=_checked_signal(expander.word(typed.signal)))
        case _:
            return typed


def _check_bytes(run: Run) -> None:
    """Refuse what BuildKit refuses when it comes to the instruction, in words that name no place."""
    texts = (run.instruction.original, *(heredoc.content for heredoc in run.heredocs))
    word = next((word for text in texts for word in text.split() if has_invalid(word)), None)
    if word is not None:
        raise Fault(
            "DF038",
            f"`{escape_invalid(word)}` is not UTF-8",
            needle=word,
            help="save the Dockerfile in UTF-8; BuildKit takes other bytes in comments, but not in RUN",
        )


def _expand_transfer(typed: Copy | Add, expander: Expander) -> Copy | Add:
    chown = expander.optional(typed.chown)
    chmod = _checked_mode(expander.optional(typed.chmod))
    if isinstance(typed, Add):
        typed = replace(typed, checksum=expander.optional(typed.checksum))
    return replace(
        typed,
        sources=expander.all(typed.sources),
        destination=expander.word(typed.destination),
        chown=chown,
        chmod=chmod,
        heredocs=expander.heredocs(typed.heredocs),
    )


def _checked_mode(mode: str | None) -> str | None:
    if mode and not re.fullmatch("0*[0-7]{1,4}", mode) and not _SYMBOLIC_MODE.fullmatch(mode):
        raise Fault(
            "DF032", f"`{mode}` is not a file mode", needle=mode, help="write it in octal (0755) or as in chmod (u+x)"
        )
    return mode


def _checked_volumes(paths: tuple[str, ...]) -> tuple[str, ...]:
    if "" in paths:
        raise Fault("DF031", "VOLUME has an empty path after expansion")
    return paths


def _checked_signal(signal: str) -> str:
    is_number = re.fullmatch(r"[+-]?[0-9]{1,18}", signal) and int(signal)
    if not is_number and not _SIGNAL.fullmatch(signal.upper().removeprefix("SIG")):
        raise Fault("DF030", f"`{signal}` is not a signal", needle=signal, help="write it such as SIGTERM or 15")
    return signal

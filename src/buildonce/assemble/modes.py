"""The modes of --chmod: octal, or symbolic in chmod(1)'s language with a umask of 0.

BuildKit reads symbolic modes with tonistiigi/dchapes-mode, which follows BSD's setmode(3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from buildonce.errors import AssemblyError

SETUID, SETGID, STICKY = 0o4000, 0o2000, 0o1000
_STANDARD = 0o6777
_EXECUTE = 0o111
_WHO = {"a": _STANDARD, "u": SETUID | 0o700, "g": SETGID | 0o070, "o": 0o007}
_PERMISSIONS = {"r": 0o444, "w": 0o222, "x": 0o111}
_SHIFTS = {"u": 6, "g": 3, "o": 0}

_Step: TypeAlias = Callable[[int, int, bool], int]
"""(the mode so far, the mode at first, whether it is a directory) -> the mode."""


class ModeChange(Struct, frozen=True, kw_only=True):
    """What --chmod does: a fixed mode, or steps from the source's own."""

    fixed: int | None = None
    steps: tuple[_Step, ...] = ()

    def apply(self, mode: int, *, is_directory: bool) -> int:
        """Return the mode that a file or directory of ``mode`` gets."""
        if self.fixed is not None:
            return self.fixed
        changed = mode
        for step in self.steps:
            changed = step(changed, mode, is_directory)
        return changed & 0o7777


def parse_mode(text: str) -> ModeChange:
    """Return the change that a --chmod value means; raise `AssemblyError` as BuildKit does for one that means none."""
    if text.isascii() and text.isdigit():
        mode = int(text, 8) if not set(text) & set("89") else 0o10000
        if mode > 0o7777:
            raise AssemblyError(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
        return ModeChange(fixed=mode)
    if text[:1].isdigit():
        raise AssemblyError(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
    steps: list[_Step] = []
    for clause in text.split(","):
        steps += _parse_clause(clause, text)
    return ModeChange(steps=tuple(steps))


def _parse_clause(clause: str, whole: str) -> list[_Step]:
    rest = clause.lstrip("augo")
    who = 0
    for letter in clause[: len(clause) - len(rest)]:
        who |= _WHO[letter]
    if not rest:
        raise AssemblyError(f"`{whole}` is not a mode")
    steps: list[_Step] = []
    while rest:
        operator, rest = rest[0], rest[1:]
        if operator not in "+-=":
            raise AssemblyError(f"`{whole}` is not a mode")
        length = next((index for index, letter in enumerate(rest) if letter not in "rwxXstugo"), len(rest))
        letters, rest = rest[:length], rest[length:]
        steps += _operation(operator, who, letters)
    return steps


def _operation(operator: str, who: int, letters: str) -> list[_Step]:
    """Return the steps of one operator; those for the letters so far come before a copy of u, g or o."""
    steps: list[_Step] = []
    only_others = who != 0 and not who & ~0o007
    permissions, conditional = 0, 0
    assigned = operator != "="
    who_now = who
    for letter in letters:
        if letter in _SHIFTS:
            if permissions:
                steps += _set_bits(operator, who_now, permissions)
            if conditional:
                steps.append(_set_if_executable(_selected(who_now, conditional)))
            assigned, permissions, conditional = True, 0, 0
            steps.append(_copy(operator, who_now, letter))
        elif letter == "X" and operator != "-":
            conditional = _EXECUTE
        elif letter == "s":
            permissions |= 0 if only_others else SETUID | SETGID
        elif letter == "t":
            permissions |= 0 if only_others else STICKY
            who_now |= 0 if only_others else STICKY
        else:
            permissions |= _PERMISSIONS[letter.lower()]
    if permissions or not assigned:
        steps += _set_bits(operator, who_now, permissions)
    if conditional:
        steps.append(_set_if_executable(_selected(who_now, conditional)))
    return steps


def _selected(who: int, bits: int) -> int:
    return bits & who if who else bits


def _set_bits(operator: str, who: int, bits: int) -> list[_Step]:
    selected = _selected(who, bits)
    cleared = {"+": 0, "-": selected, "=": who or _STANDARD}[operator]
    added = 0 if operator == "-" else selected
    return [lambda mode, _first, _directory: mode & ~cleared | added]


def _set_if_executable(bits: int) -> _Step:
    return lambda mode, first, directory: mode | bits if directory or first & _EXECUTE else mode


def _copy(operator: str, who: int, source: str) -> _Step:
    targets = [shift for letter, shift in _SHIFTS.items() if not who or who & (0o400 >> (6 - shift))]

    def copy(mode: int, _first: int, _directory: bool) -> int:
        value = mode >> _SHIFTS[source] & 0o7
        for shift in targets:
            if operator == "=":
                mode &= ~(0o7 << shift)
            mode = mode & ~(value << shift) if operator == "-" else mode | value << shift
        return mode

    return copy

"""The flags of an instruction, read by what each instruction allows (BuildKit, instructions/bflag.go)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct

from buildonce.dockerfile.problems import Fault, did_you_mean
from buildonce.dockerfile.syntax import Instruction


class Kind(Enum):
    """What a flag takes."""

    BOOL = auto()
    TEXT = auto()
    TEXTS = auto()


class Flags(Struct, frozen=True):
    """The values of an instruction's flags by name."""

    values: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str | None:
        """Return a flag's value, or None when it was not given."""
        found = self.values.get(name)
        return found[0] if found else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of a flag that may be repeated."""
        return self.values.get(name, ())

    def truth(self, name: str) -> bool | None:
        """Return a yes-or-no flag's value, or None when it was not given."""
        found = self.text(name)
        return None if found is None else found == "true"


def read_flags(instruction: Instruction, allowed: Mapping[str, Kind]) -> Flags:
    """Return the instruction's flags; raise `Fault` for the first that is unknown, repeated or has a wrong value."""
    values: dict[str, tuple[str, ...]] = {}
    for flag in instruction.flags:
        kind = allowed.get(flag.name)
        if kind is None:
            raise _unknown(instruction, flag.name, allowed)
        if flag.name in values and kind is not Kind.TEXTS:
            raise Fault("DF011", f"the flag `--{flag.name}` stands twice", needle=f"--{flag.name}")
        value = _boolean(flag.name, flag.value) if kind is Kind.BOOL else _text(flag.name, flag.value)
        values[flag.name] = (*values.get(flag.name, ()), value)
    return Flags(values)


def _unknown(instruction: Instruction, name: str, allowed: Mapping[str, Kind]) -> Fault:
    known = ", ".join(f"--{flag}" for flag in sorted(allowed))
    return Fault(
        "DF010",
        f"{instruction.keyword} has no flag `--{name}`",
        needle=f"--{name}",
        label="unknown flag",
        help=did_you_mean(name, allowed, "--{}") or (f"it has {known}" if known else "it has no flags"),
    )


def _boolean(name: str, value: str | None) -> str:
    if value is None:
        return "true"
    if value.lower() not in ("true", "false"):
        raise Fault("DF011", f"`--{name}` is true or false, not `{value}`", needle=f"--{name}")
    return value.lower()


def _text(name: str, value: str | None) -> str:
    if value is None:
        raise Fault("DF011", f"the flag `--{name}` lacks a value", needle=f"--{name}", help=f"write `--{name}=<value>`")
    return value

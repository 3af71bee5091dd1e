"""From an instruction's words to what it says: one small function for each keyword.

The rules are those of BuildKit, frontend/dockerfile/instructions/parse.go. Every function raises `Fault`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from buildonce.dockerfile.arguments import KEYWORDS
from buildonce.dockerfile.durations import parse_duration
from buildonce.dockerfile.flags import Flags, Kind, read_flags
from buildonce.dockerfile.heredocs import is_heredoc, parse_heredoc
from buildonce.dockerfile.mounts import read_mount, resolve_device
from buildonce.dockerfile.problems import Fault, did_you_mean
from buildonce.dockerfile.runes import SPACES
from buildonce.dockerfile.syntax import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    TypedInstruction,
    User,
    Volume,
    Workdir,
)

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_ONBUILD = re.compile(r"\A[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*", re.IGNORECASE)
_NETWORKS = ("default", "none", "host")
_SECURITIES = ("sandbox", "insecure")
_NO_FLAGS: Mapping[str, Kind] = MappingProxyType({})
_RUN_FLAGS = MappingProxyType({"mount": Kind.TEXTS, "network": Kind.TEXT, "security": Kind.TEXT, "device": Kind.TEXTS})
_COPY_FLAGS = MappingProxyType(
    {
        "from": Kind.TEXT,
        "chown": Kind.TEXT,
        "chmod": Kind.TEXT,
        "link": Kind.BOOL,
        "parents": Kind.BOOL,
        "exclude": Kind.TEXTS,
    }
)
_ADD_FLAGS = MappingProxyType(
    {
        "chown": Kind.TEXT,
        "chmod": Kind.TEXT,
        "checksum": Kind.TEXT,
        "link": Kind.BOOL,
        "keep-git-dir": Kind.BOOL,
        "unpack": Kind.BOOL,
        "exclude": Kind.TEXTS,
    }
)
_HEALTH_TIMES = ("interval", "timeout", "start-period", "start-interval")
_HEALTH_FLAGS = MappingProxyType(dict.fromkeys((*_HEALTH_TIMES, "retries"), Kind.TEXT))


def type_instruction(instruction: Instruction) -> TypedInstruction:
    """Return what the instruction says; raise `Fault` when it says nothing that BuildKit would accept."""
    build = _BUILDERS.get(instruction.keyword)
    if build is None:
        raise Fault(
            "DF002",
            f"`{instruction.keyword}` is not an instruction"
            if instruction.keyword
            else "this line holds no instruction",
            label="unknown instruction",
            help=did_you_mean(instruction.keyword, KEYWORDS),
        )
    return build(instruction)


def _from(instruction: Instruction) -> From:
    words = instruction.words
    name: str | None = None
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise Fault(
                "DF015",
                f"`{words[2]}` cannot be the name of a stage",
                needle=words[2],
                help="a stage name begins with a letter, and has letters, digits, `-`, `_` and `.`",
            )
    elif len(words) != 1:
        raise Fault("DF009", "FROM takes an image, or an image, AS and a name", help="write `FROM <image> [AS <name>]`")
    flags = read_flags(instruction, {"platform": Kind.TEXT})
    return From(instruction=instruction, image=words[0], platform=flags.text("platform") or None, name=name)


def _run(instruction: Instruction) -> Run:
    flags = read_flags(instruction, _RUN_FLAGS)
    network = flags.text("network")
    security = flags.text("security")
    return Run(
        instruction=instruction,
        command=_command(instruction),
        shell_form=instruction.json is None,
        mounts=tuple(read_mount(text) for text in flags.texts("mount")),
        network=_setting("network", network, _NETWORKS),
        security=_setting("security", security, _SECURITIES),
        devices=tuple(resolve_device(text) for text in flags.texts("device")),
    )


def _setting(name: str, value: str | None, options: tuple[str, ...]) -> str:
    if value is None:
        return options[0]
    if value not in options:
        raise Fault("DF025", f"`{value}` is not a {name} mode", needle=value, help=f"it is one of {', '.join(options)}")
    return value


def _command(instruction: Instruction) -> tuple[str, ...]:
    if instruction.json is not None or not instruction.words:
        return instruction.words
    return (" ".join(instruction.words),)


def _copy(instruction: Instruction) -> Copy:
    _require_two(instruction)
    flags = read_flags(instruction, _COPY_FLAGS)
    sources, heredocs, destination = _transfer(instruction)
    return Copy(
        instruction=instruction,
        sources=sources,
        destination=destination,
        from_=flags.text("from") or None,
        chown=flags.text("chown") or None,
        chmod=flags.text("chmod") or None,
        link=bool(flags.truth("link")),
        parents=bool(flags.truth("parents")),
        exclude=flags.texts("exclude"),
        heredocs=heredocs,
    )


def _add(instruction: Instruction) -> Add:
    _require_two(instruction)
    flags = read_flags(instruction, _ADD_FLAGS)
    sources, heredocs, destination = _transfer(instruction)
    return Add(
        instruction=instruction,
        sources=sources,
        destination=destination,
        chown=flags.text("chown") or None,
        chmod=flags.text("chmod") or None,
        checksum=flags.text("checksum") or None,
        link=bool(flags.truth("link")),
        keep_git_dir=flags.truth("keep-git-dir"),
        unpack=flags.truth("unpack"),
        exclude=flags.texts("exclude"),
        heredocs=heredocs,
    )


def _require_two(instruction: Instruction) -> None:
    if len(instruction.words) < 2:
        raise Fault(
            "DF009",
            f"{instruction.keyword} needs at least one source and a destination",
            help=f"write `{instruction.keyword} <source>... <destination>`",
        )


def _transfer(instruction: Instruction) -> tuple[tuple[str, ...], tuple[Heredoc, ...], str]:
    """Return source paths, sources given in place, and the destination."""
    *sources, destination = instruction.words
    if is_heredoc(destination):
        raise Fault("DF007", f"{instruction.keyword} cannot copy to a heredoc", needle=destination)
    contents = {heredoc.name: heredoc.content for heredoc in instruction.heredocs}
    paths = tuple(source for source in sources if not is_heredoc(source))
    openings = (parse_heredoc(source) for source in sources if is_heredoc(source))
    heredocs = tuple(replace(opening, content=contents.get(opening.name, "")) for opening in openings if opening)
    return paths, heredocs, destination


def _env(instruction: Instruction) -> Env:
    read_flags(instruction, _NO_FLAGS)
    pairs, legacy = _pairs(instruction)
    return Env(instruction=instruction, pairs=pairs, legacy=legacy)


def _label(instruction: Instruction) -> Label:
    read_flags(instruction, _NO_FLAGS)
    pairs, legacy = _pairs(instruction)
    return Label(instruction=instruction, pairs=pairs, legacy=legacy)


def _pairs(instruction: Instruction) -> tuple[tuple[tuple[str, str], ...], bool]:
    _require_one(instruction)
    words = instruction.words
    pairs = tuple(zip(words[::3], words[1::3], strict=True))
    for name, value in pairs:
        if not name:
            raise Fault("DF014", f"{instruction.keyword} has a value without a name", needle=f"={value}")
    return pairs, not words[2]


def _arg(instruction: Instruction) -> Arg:
    _require_one(instruction)
    pairs: list[tuple[str, str | None]] = []
    for word in instruction.words:
        name, equals, value = word.partition("=")
        if equals and not name:
            raise Fault("DF014", "ARG has a value without a name", needle=word)
        pairs.append((name, value if equals else None))
    return Arg(instruction=instruction, pairs=tuple(pairs))


def _cmd(instruction: Instruction) -> Cmd:
    read_flags(instruction, _NO_FLAGS)
    return Cmd(instruction=instruction, command=_command(instruction), shell_form=instruction.json is None)


def _entrypoint(instruction: Instruction) -> Entrypoint:
    read_flags(instruction, _NO_FLAGS)
    return Entrypoint(instruction=instruction, command=_command(instruction), shell_form=instruction.json is None)


def _expose(instruction: Instruction) -> Expose:
    _require_one(instruction)
    read_flags(instruction, _NO_FLAGS)
    return Expose(instruction=instruction, ports=tuple(sorted(instruction.words)))


def _volume(instruction: Instruction) -> Volume:
    _require_one(instruction)
    read_flags(instruction, _NO_FLAGS)
    paths = tuple(word.strip(SPACES) for word in instruction.words)
    if "" in paths:
        raise Fault("DF031", "VOLUME has an empty path")
    return Volume(instruction=instruction, paths=paths)


def _user(instruction: Instruction) -> User:
    word = _exactly_one(instruction)
    read_flags(instruction, _NO_FLAGS)
    return User(instruction=instruction, user=word)


def _workdir(instruction: Instruction) -> Workdir:
    word = _exactly_one(instruction)
    read_flags(instruction, _NO_FLAGS)
    return Workdir(instruction=instruction, path=word)


def _maintainer(instruction: Instruction) -> Maintainer:
    word = _exactly_one(instruction)
    read_flags(instruction, _NO_FLAGS)
    return Maintainer(instruction=instruction, name=word)


def _stopsignal(instruction: Instruction) -> Stopsignal:
    return Stopsignal(instruction=instruction, signal=_exactly_one(instruction))


def _onbuild(instruction: Instruction) -> Onbuild:
    _require_one(instruction)
    read_flags(instruction, _NO_FLAGS)
    trigger = instruction.words[0].strip(SPACES).upper()
    if trigger in ("ONBUILD", "FROM", "MAINTAINER"):
        raise Fault("DF026", f"{trigger} cannot be an ONBUILD trigger", needle=instruction.words[0])
    bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)
    expression = _ONBUILD.sub("", instruction.original) + bodies
    return Onbuild(instruction=instruction, expression=expression, trigger=trigger)


def _healthcheck(instruction: Instruction) -> Healthcheck:
    _require_one(instruction)
    kind, words = instruction.words[0].upper(), instruction.words[1:]
    if kind == "NONE":
        if words:
            raise Fault("DF027", "HEALTHCHECK NONE takes no arguments", needle=words[0])
        return Healthcheck(instruction=instruction, test=("NONE",))
    flags = read_flags(instruction, _HEALTH_FLAGS)
    if kind != "CMD":
        raise Fault(
            "DF027",
            f"HEALTHCHECK takes CMD or NONE, not `{kind}`",
            needle=instruction.words[0],
            help="write CMD before it",
        )
    if not words:
        raise Fault("DF027", "HEALTHCHECK CMD lacks a command")
    test = ("CMD", *words) if instruction.json is not None else ("CMD-SHELL", " ".join(words))
    interval, timeout, start_period, start_interval = (_health_time(flags, name) for name in _HEALTH_TIMES)
    return Healthcheck(
        instruction=instruction,
        test=test,
        interval=interval,
        timeout=timeout,
        start_period=start_period,
        start_interval=start_interval,
        retries=_retries(flags.text("retries") or ""),
    )


def _health_time(flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    duration = parse_duration(text)
    if duration is None:
        raise Fault("DF027", f"`{text}` is not a time", needle=text, help="write it such as 30s or 1m30s")
    if duration and duration < 1_000_000:
        raise Fault("DF027", f"`--{name}` cannot be less than 1ms", needle=text)
    return duration


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or not 0 <= int(text) < 1 << 31:
        raise Fault("DF027", f"`--retries` is a number from 0, not `{text}`", needle=text)
    return int(text)


def _shell(instruction: Instruction) -> Shell:
    read_flags(instruction, _NO_FLAGS)
    _require_one(instruction)
    if instruction.json is None:
        words = ", ".join(f'"{word}"' for word in instruction.args.split())
        raise Fault("DF028", "SHELL needs the JSON form", needle=instruction.args, help=f"write `SHELL [{words}]`")
    return Shell(instruction=instruction, shell=instruction.json)


def _require_one(instruction: Instruction) -> None:
    if not instruction.words:
        raise Fault("DF009", f"{instruction.keyword} needs at least one argument")


def _exactly_one(instruction: Instruction) -> str:
    if len(instruction.words) != 1:
        raise Fault("DF009", f"{instruction.keyword} needs exactly one argument")
    return instruction.words[0]


_BUILDERS: Mapping[str, Callable[[Instruction], TypedInstruction]] = MappingProxyType(
    {
        "ADD": _add,
        "ARG": _arg,
        "CMD": _cmd,
        "COPY": _copy,
        "ENTRYPOINT": _entrypoint,
        "ENV": _env,
        "EXPOSE": _expose,
        "FROM": _from,
        "HEALTHCHECK": _healthcheck,
        "LABEL": _label,
        "MAINTAINER": _maintainer,
        "ONBUILD": _onbuild,
        "RUN": _run,
        "SHELL": _shell,
        "STOPSIGNAL": _stopsignal,
        "USER": _user,
        "VOLUME": _volume,
        "WORKDIR": _workdir,
    }
)

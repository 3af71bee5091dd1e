"""From an instruction's line to its keyword, flags and arguments, in the form that its keyword asks for.

The rules are those of BuildKit, frontend/dockerfile/parser/split_command.go and line_parsers.go.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec import Struct

from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import SPACES, decode, encode, replace_invalid

_WHITESPACE = re.compile("[\t\v\f\r ]+")
_LATIN_SPACES = frozenset("\t\n\v\f\r \x85\xa0")


class Line(Struct, frozen=True, kw_only=True):
    """An instruction's line, taken apart; ``flags`` and ``words`` are text, ``is_json`` says that words are JSON's.

    ``child`` is the instruction inside ONBUILD.
    """

    keyword: str
    original: str
    flags: tuple[str, ...]
    args: str
    words: tuple[str, ...]
    is_json: bool = False
    child: Line | None = None


class _Arguments(Struct, frozen=True):
    words: tuple[str, ...] = ()
    is_json: bool = False
    child: Line | None = None


def parse_line(line: str, escape: str, *, in_onbuild: bool = False) -> Line:
    """Return the line of one instruction in its parts; raise `Fault` when its arguments lack their form."""
    keyword, flags, args = _split_command(line, escape)
    name = keyword.lower()
    if name == "onbuild":
        # BuildKit would go on into `ONBUILD ONBUILD`, only to refuse it
        arguments = _Arguments(words=(args,)) if in_onbuild else _onbuild(args, escape)
    else:
        arguments = _FORMS.get(name, _ignore)(args, escape)
    return Line(
        keyword=keyword,
        original=line,
        flags=flags,
        args=args,
        words=arguments.words,
        is_json=arguments.is_json,
        child=arguments.child,
    )


def split_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Return the leading words that begin with ``--``, without quotes and escapes, and the rest of the text.

    BuildKit reads flags byte by byte and writes each byte as a character; so non-ASCII flags come out garbled here
    as well, on purpose.
    """
    line = encode(text).decode("latin-1")
    words: list[str] = []
    position = 0
    while True:
        while position < len(line) and line[position] in _LATIN_SPACES:
            position += 1
        if line[position : position + 2] != "--":
            return tuple(words), decode(line[position:].encode("latin-1"))
        word, position = _take_flag(line, position, escape)
        if word == "--":
            return tuple(words), decode(line[position:].encode("latin-1"))
        words.append(word)


def _take_flag(line: str, position: int, escape: str) -> tuple[str, int]:
    """Return the flag at ``position``, and where it ends."""
    parts: list[str] = []
    quote = ""
    while position < len(line):
        character = line[position]
        if quote and character == quote:
            quote = ""
        elif not quote and character in _LATIN_SPACES:
            break
        elif not quote and character in "'\"":
            quote = character
        elif character == escape:
            position += 1
            parts.append(line[position : position + 1])
        else:
            parts.append(character)
        position += 1
    return "".join(parts), min(position, len(line))


def split_quoted(text: str, escape: str) -> tuple[str, ...]:
    """Return the words of ``text``, split at spaces outside quotes; quotes and escapes stay in them."""
    text = replace_invalid(text)
    words: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in SPACES:
            position += 1
        if position == len(text):
            return tuple(words)
        word, is_quoted, position = _take_quoted(text, position, escape)
        if word or is_quoted:
            words.append(word)


def _take_quoted(text: str, position: int, escape: str) -> tuple[str, bool, int]:
    parts: list[str] = []
    quote, is_quoted = "", False
    while position < len(text):
        character = text[position]
        if not quote and character in SPACES:
            break
        if quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, is_quoted = character, True
        if character == escape and quote != "'":
            if position + 1 == len(text):
                return "".join(parts), is_quoted, len(text)
            parts.append(character)
            position += 1
        parts.append(text[position])
        position += 1
    return "".join(parts), is_quoted, position


def _split_command(line: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    parts = _WHITESPACE.split(line.strip(SPACES), maxsplit=1)
    if len(parts) == 1:
        return parts[0], (), ""
    flags, rest = split_flags(parts[1], escape)
    return parts[0], flags, rest.strip(SPACES)


def _ignore(_args: str, _escape: str) -> _Arguments:
    return _Arguments(("",))


def _onbuild(args: str, escape: str) -> _Arguments:
    if not args:
        return _Arguments()
    child = parse_line(args, escape, in_onbuild=True)
    return _Arguments((child.keyword, *child.words), child=child)


def _whole(args: str, _escape: str) -> _Arguments:
    return _Arguments((args,) if args else ())


def _split(args: str, _escape: str) -> _Arguments:
    return _Arguments(tuple(_WHITESPACE.split(args)) if args else ())


def _json_or_whole(args: str, escape: str) -> _Arguments:
    strings = _parse_json(args)
    return _whole(args, escape) if strings is None else _Arguments(strings, is_json=True)


def _json_or_split(args: str, escape: str) -> _Arguments:
    strings = _parse_json(args)
    return _split(args, escape) if strings is None else _Arguments(strings, is_json=True)


def _names(args: str, escape: str) -> _Arguments:
    return _Arguments(split_quoted(args, escape))


def _pairs(keyword: str) -> Callable[[str, str], _Arguments]:
    def parse(args: str, escape: str) -> _Arguments:
        words = split_quoted(args, escape)
        if words and "=" not in words[0]:
            parts = _WHITESPACE.split(args, maxsplit=1)
            if len(parts) < 2:
                raise Fault(
                    "DF014",
                    f"{keyword} must have two arguments",
                    needle=args,
                    label="a name without a value",
                    help=f"write `{keyword} {args}=value`",
                )
            return _Arguments((parts[0], parts[1], ""))
        return _Arguments(tuple(part for word in words for part in _split_pair(word, keyword)))

    return parse


def _split_pair(word: str, keyword: str) -> tuple[str, str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise Fault(
            "DF014",
            f"`{word}` in {keyword} has no `=`",
            needle=word,
            label="not of the form name=value",
            help="put a value that has spaces in quotes",
        )
    return name, value, "="


def _healthcheck(args: str, escape: str) -> _Arguments:
    """Split off the first word, at a byte that is a space on its own, as BuildKit does."""
    line = encode(args).decode("latin-1")
    end = next((index for index, character in enumerate(line) if character in _LATIN_SPACES), len(line))
    if not end:
        return _Arguments()
    rest = line[end:].lstrip("".join(_LATIN_SPACES))
    command = _json_or_whole(decode(rest.encode("latin-1")), escape)
    return _Arguments((decode(line[:end].encode("latin-1")), *command.words), is_json=command.is_json)


def _parse_json(args: str) -> tuple[str, ...] | None:
    """Return the strings of a JSON array, or None when Go would not read ``args`` as one.

    Raises `Fault` when it is an array of something else.
    """
    text = args.lstrip(SPACES)
    if not text.startswith("["):
        return None
    try:
        values = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_no_constant)
    except ValueError:
        return None
    except RecursionError:
        values = [None]
    if not all(isinstance(value, str) for value in values):
        raise Fault(
            "DF008", "a JSON form may hold strings only", needle=args, help='write every element in quotes: "8080"'
        )
    return tuple(replace_invalid(value) for value in values)


def _number(text: str) -> float:
    """Refuse a number that no float64 can hold, as Go does."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _no_constant(text: str) -> None:
    raise ValueError(text)


_FORMS: Mapping[str, Callable[[str, str], _Arguments]] = MappingProxyType(
    {
        "add": _json_or_split,
        "arg": _names,
        "cmd": _json_or_whole,
        "copy": _json_or_split,
        "entrypoint": _json_or_whole,
        "env": _pairs("ENV"),
        "expose": _split,
        "from": _split,
        "healthcheck": _healthcheck,
        "label": _pairs("LABEL"),
        "maintainer": _whole,
        "run": _json_or_whole,
        "shell": _json_or_whole,
        "stopsignal": _whole,
        "user": _whole,
        "volume": _json_or_split,
        "workdir": _whole,
    }
)
KEYWORDS = frozenset(name.upper() for name in _FORMS) | {"ONBUILD"}
"""Every instruction that BuildKit knows."""

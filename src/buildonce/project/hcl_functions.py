"""The functions of bake files that are evaluated without buildx (docker/buildx, bake/hclparser/stdlib.go).

They are those of zclconf/go-cty, function/stdlib. Where Go's texts and Python's could differ, as beyond ASCII or in
regular expressions, a function refuses. So do those that give another value each time.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import UsageError
from buildonce.project.hcl_values import NEEDS_BUILDX, as_boolean, as_number, as_text, exact, is_equal, member
from buildonce.project.values import Value, kind

Function = Callable[..., Value]

_CHANGING = frozenset({"timestamp", "uuidv4", "bcrypt", "homedir", "rsadecrypt", "abspath"})
_PLAIN_PATTERN = re.compile(
    r"(?:[A-Za-z0-9 _/:,@=~%&;<>!\"'#-]|\\[.\\/+*?()|\[\]{}^$dsw-]|\[[A-Za-z0-9_.,:/ +^-]+\]|[.^$*+?|()])*"
)
_BROKEN = re.compile(r"\(\?|[*+?]{2}|\[\^?\]|\$\{")


def call_builtin(name: str, arguments: Sequence[Value]) -> Value:
    """Return what a built-in function gives. Raises `UsageError`."""
    if name in _CHANGING:
        raise UsageError(
            f"`{name}` gives another value with each run or machine, so nothing made with it could be found again",
            help="take the value from a variable",
        )
    function = FUNCTIONS.get(name)
    if function is None:
        raise UsageError(
            f"the function `{name}` is not known without buildx",
            help=did_you_mean(name, FUNCTIONS) or NEEDS_BUILDX,
        )
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        raise UsageError(f"`{name}` does not take {len(arguments)} arguments", help=NEEDS_BUILDX) from error
    return function(*arguments)


def _items(value: Value) -> Sequence[Value]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise UsageError(f"{kind(value)} stands where a list is needed")


def _texts(value: Value) -> list[str]:
    return [as_text(one) for one in _items(value)]


def _mapping(value: Value) -> Mapping[str, Value]:
    if isinstance(value, Mapping):
        return value
    raise UsageError(f"{kind(value)} stands where a mapping is needed")


def _ascii(value: Value) -> str:
    text = as_text(value)
    if not text.isascii():
        raise UsageError("the text has letters beyond ASCII", help=NEEDS_BUILDX)
    return text


def _whole(value: Value) -> int:
    number = as_number(value)
    if number != int(number):
        raise UsageError(f"{number} stands where a whole number is needed")
    return int(number)


def _same_kind(values: Sequence[Value]) -> Sequence[Value]:
    if len({kind(one) for one in values}) > 1:
        raise UsageError("the members are of different types", help=NEEDS_BUILDX)
    return values


def _pattern(value: Value) -> re.Pattern[str]:
    """Return a regular expression that means the same to Go and to Python. Raises `UsageError` for others."""
    text = _ascii(value)
    if not _PLAIN_PATTERN.fullmatch(text) or _BROKEN.search(text):
        raise UsageError(f"the regular expression `{text}` is not read without buildx", help=NEEDS_BUILDX)
    try:
        return re.compile(text, re.ASCII)
    except re.error as error:
        raise UsageError(f"`{text}` is no regular expression: {error}") from error


def _regex_replace(text: Value, pattern: Value, replacement: Value) -> Value:
    new, compiled = as_text(replacement), _pattern(pattern)
    if re.search(r"\$(?![0-9](?![0-9A-Za-z_])|\{[0-9]\})", new) or compiled.match("") or "|" in as_text(pattern):
        raise UsageError("this replacement is not made without buildx", help=NEEDS_BUILDX)
    groups = compiled.groups

    def filled(found: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            number = int(reference[1] or reference[2])
            return (found[number] or "") if number <= groups else ""

        return re.sub(r"\$(?:([0-9])|\{([0-9])\})", group, new)

    return compiled.sub(filled, _ascii(text))


def _format(template: Value, *values: Value) -> Value:
    """Fill in a format: ``%s``, ``%d``, ``%v`` and ``%%`` alone."""
    text, left = as_text(template), list(values)

    def filled(verb: re.Match[str]) -> str:
        if verb[0] == "%%":
            return "%"
        if not left or verb[0] not in ("%s", "%d", "%v"):
            raise UsageError(f"the format `{text}` is not filled in without buildx", help=NEEDS_BUILDX)
        value = left.pop(0)
        return as_text(Decimal(_whole(value))) if verb[0] == "%d" else as_text(value)

    made = re.sub(r"%.?", filled, text, flags=re.DOTALL)
    if left:
        raise UsageError(f"the format `{text}` takes fewer values")
    return made


def _split(separator: Value, text: Value) -> Value:
    by, whole = as_text(separator), as_text(text)
    if not by:
        return list(_ascii(whole))
    return list(whole.split(by))


def _substr(text: Value, offset: Value, length: Value) -> Value:
    whole, start, count = _ascii(text), _whole(offset), _whole(length)
    if start < 0 or count < -1:
        raise UsageError("a negative offset is not read without buildx", help=NEEDS_BUILDX)
    return whole[start:] if count == -1 else whole[start : start + count]


def _element(items: Value, number: Value) -> Value:
    found, place = _items(items), _whole(number)
    if not found or place < 0:
        raise UsageError("there is no such member")
    return found[place % len(found)]


def _slice(items: Value, start: Value, end: Value) -> Value:
    found, first, last = _items(items), _whole(start), _whole(end)
    if not 0 <= first <= last <= len(found):
        raise UsageError(f"a list of {len(found)} has no members from {first} to {last}")
    return list(found[first:last])


def _contains(items: Value, wanted: Value) -> Value:
    return any(is_equal(one, wanted) for one in _same_kind([*_items(items), wanted])[:-1])


def _index_of(items: Value, wanted: Value) -> Value:
    for number, one in enumerate(_items(items)):
        if is_equal(one, wanted):
            return Decimal(number)
    raise UsageError("the list has no such member")


def _distinct(items: Value) -> Value:
    found: list[Value] = []
    for one in _same_kind(_items(items)):
        if not any(is_equal(one, other) for other in found):
            found.append(one)
    return found


def _flatten(items: Value) -> Value:
    found: list[Value] = []
    for one in _items(items):
        found += _items(_flatten(one)) if isinstance(one, Sequence) and not isinstance(one, str) else [one]
    return found


def _coalesce(*values: Value) -> Value:
    found = next((one for one in _same_kind([one for one in values if one is not None])), None)
    if found is None:
        raise UsageError("every value is null")
    return found


def _merge(*mappings: Value) -> Value:
    found: dict[str, Value] = {}
    for one in mappings:
        found |= _mapping(one) if one is not None else {}
    return found


def _lookup(mapping: Value, key: Value, otherwise: Value) -> Value:
    return _mapping(mapping).get(as_text(key), otherwise)


def _range(*bounds: Value) -> Value:
    numbers = [_whole(one) for one in bounds]
    if not 1 <= len(numbers) <= 2 or max(map(abs, numbers)) > 1024:
        raise UsageError("this range is not made without buildx", help=NEEDS_BUILDX)
    start, end = (0, *numbers) if len(numbers) == 1 else numbers
    return [Decimal(one) for one in (range(start, end) if start <= end else range(start, end, -1))]


def _zipmap(keys: Value, values: Value) -> Value:
    names, found = _texts(keys), _items(values)
    if len(names) != len(found):
        raise UsageError(f"there are {len(names)} keys and {len(found)} values")
    return dict(zip(names, found, strict=True))


def _chomp(text: Value) -> Value:
    return re.sub(r"(?:\r\n?|\n)*\Z", "", as_text(text))


def _trim(text: Value, letters: Value) -> Value:
    return as_text(text).strip(as_text(letters)) if as_text(letters) else as_text(text)


def _sanitize(text: Value) -> Value:
    return re.sub(r"[^A-Za-z0-9_-]", "_", _ascii(text))


def _json(value: Value) -> Value:
    """Return JSON as Go writes it: sorted keys, no white space, and `<`, `>` and `&` escaped."""
    plain = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&":
        plain = plain.replace(letter, f"\\u{ord(letter):04x}")
    if not plain.isascii():
        raise UsageError("the value has letters beyond ASCII", help=NEEDS_BUILDX)
    return plain


def _plain(value: Value) -> object:
    match value:
        case None | str() | bool():
            return value
        case Decimal():
            return _whole(value)
        case Mapping():
            return {name: _plain(one) for name, one in value.items()}
        case _:
            return [_plain(one) for one in _items(value)]


def _hash(name: str) -> Function:
    return lambda text: hashlib.new(name, as_text(text).encode(), usedforsecurity=False).hexdigest()


def _decoded(text: Value) -> Value:
    try:
        return base64.b64decode(as_text(text), validate=True).decode()
    except ValueError as error:
        raise UsageError("this is no text in base64") from error


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "add": lambda one, other: exact(lambda: as_number(one) + as_number(other)),
        "and": lambda one, other: as_boolean(one) & as_boolean(other),
        "base64decode": _decoded,
        "base64encode": lambda text: base64.b64encode(as_text(text).encode()).decode(),
        "basename": lambda path: posixpath.basename(as_text(path).rstrip("/")) or (as_text(path)[:1] or "."),
        "chomp": _chomp,
        "coalesce": _coalesce,
        "compact": lambda items: [one for one in _texts(items) if one],
        "concat": lambda *lists: [one for items in lists for one in _items(items)],
        "contains": _contains,
        "distinct": _distinct,
        "element": _element,
        "equal": is_equal,
        "flatten": _flatten,
        "format": _format,
        "greaterthan": lambda one, other: as_number(one) > as_number(other),
        "greaterthanorequalto": lambda one, other: as_number(one) >= as_number(other),
        "index": lambda items, number: member(_items(items), as_number(number)),
        "indexof": _index_of,
        "join": lambda separator, *lists: as_text(separator).join(text for items in lists for text in _texts(items)),
        "jsonencode": _json,
        "keys": lambda mapping: sorted(_mapping(mapping)),
        "length": lambda items: Decimal(len(_items(items))),
        "lessthan": lambda one, other: as_number(one) < as_number(other),
        "lessthanorequalto": lambda one, other: as_number(one) <= as_number(other),
        "lookup": _lookup,
        "lower": lambda text: _ascii(text).lower(),
        "max": lambda first, *others: max(map(as_number, (first, *others))),
        "md5": _hash("md5"),
        "merge": _merge,
        "min": lambda first, *others: min(map(as_number, (first, *others))),
        "multiply": lambda one, other: exact(lambda: as_number(one) * as_number(other)),
        "negate": lambda number: -as_number(number),
        "not": lambda value: not as_boolean(value),
        "notequal": lambda one, other: not is_equal(one, other),
        "or": lambda one, other: as_boolean(one) | as_boolean(other),
        "range": _range,
        "regex_replace": _regex_replace,
        "replace": lambda text, old, new: as_text(text).replace(as_text(old), as_text(new)),
        "reverse": lambda text: _ascii(text)[::-1],
        "reverselist": lambda items: list(reversed(_items(items))),
        "sanitize": _sanitize,
        "sha1": _hash("sha1"),
        "sha256": _hash("sha256"),
        "sha512": _hash("sha512"),
        "slice": _slice,
        "sort": lambda items: sorted(map(_ascii, _items(items))),
        "split": _split,
        "strlen": lambda text: Decimal(len(_ascii(text))),
        "substr": _substr,
        "subtract": lambda one, other: exact(lambda: as_number(one) - as_number(other)),
        "trim": _trim,
        "trimprefix": lambda text, prefix: as_text(text).removeprefix(as_text(prefix)),
        "trimspace": lambda text: _ascii(text).strip(" \t\n\v\f\r"),
        "trimsuffix": lambda text, suffix: as_text(text).removesuffix(as_text(suffix)),
        "upper": lambda text: _ascii(text).upper(),
        "values": lambda mapping: [_mapping(mapping)[key] for key in sorted(_mapping(mapping))],
        "zipmap": _zipmap,
    }
)
"""The built-in functions that are evaluated here, by their names."""

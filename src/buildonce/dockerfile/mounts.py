"""``RUN --mount`` and ``RUN --device`` (BuildKit, instructions/commands_runmount.go and commands_rundevice.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from buildonce.dockerfile.problems import Fault, did_you_mean
from buildonce.dockerfile.syntax import Device, Mount

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_SYNONYMS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_TEXTS = frozenset(("from", "source", "target", "id", "env"))
_NUMBERS = frozenset(("mode", "uid", "gid"))
_SWITCHES = frozenset(("readonly", "readwrite", "required"))
_OPTIONS = _TEXTS | _NUMBERS | _SWITCHES | {"type", "sharing", "size"} | _SYNONYMS.keys()
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?([kmgtp]?)(i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def read_mount(text: str) -> Mount:
    """Return a mount as written: values may hold variables, and only ``from`` is final and checked.

    Raises `Fault` when the fields cannot be told apart, or when ``from`` holds a variable.
    """
    mount = Mount(text=text)
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        match _canonical(key):
            case "from" if "$" in value[:-1]:
                raise Fault(
                    "DF023",
                    "`from` of a mount cannot hold a variable",
                    needle=field,
                    help="give the image a name: `FROM ${VARIABLE} AS name`, and mount from that",
                )
            case "from":
                mount = replace(mount, from_=value)
            case "type" if equals:
                mount = replace(mount, type=value.lower())
            case "source":
                mount = replace(mount, source=value)
            case "target":
                mount = replace(mount, target=value)
            case "id":
                mount = replace(mount, id=value)
    return mount


def resolve_mount(text: str, expand: Callable[[str], str]) -> Mount:
    """Return a mount with its values expanded and checked; raise `Fault` for what BuildKit would refuse."""
    mount = Mount(text=text)
    read_only: bool | None = None
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        name = _canonical(key)
        if name not in _OPTIONS:
            raise _fault(text, f"a mount has no option `{key}`", did_you_mean(name, _OPTIONS))
        if not equals:
            if name not in _SWITCHES:
                raise _fault(text, f"the mount option `{field}` lacks a value", f"write `{field}=<value>`")
            value = "true"
        else:
            value = expand(value)
        if name in ("readonly", "readwrite"):
            read_only = _truth(text, key, value) is (name == "readonly")
        else:
            mount = _with_option(mount, name, value)
    if read_only is None:
        read_only = mount.type not in ("cache", "tmpfs")
    return _checked(replace(mount, read_only=read_only))


def resolve_device(text: str) -> Device:
    """Return a device request; raise `Fault` for what BuildKit would refuse."""
    name, required = "", False
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        match key.lower():
            case "required":
                required = _truth(text, key, value) if equals else True
            case "name" if equals:
                if name:
                    raise Fault("DF025", f"the device has a name already: {name}", needle=field)
                name = value
            case _ if not name:
                name = field
            case _:
                raise Fault("DF025", f"`{field}` is not an option of a device", needle=field)
    return Device(name=name, required=required)


def split_fields(text: str) -> tuple[str, ...]:
    """Return comma-separated values; those that begin with a double quote may hold commas, and ``""`` for a quote."""
    line = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not line:
        raise _fault(text, "there is nothing between the commas", None)
    fields: list[str] = []
    rest = line
    while True:
        if rest.startswith('"'):
            field, rest = _take_quoted(text, rest[1:])
        else:
            field, comma, rest = rest.partition(",")
            if '"' in field:
                raise _fault(text, f"a quote stands inside `{field}`", "put the quotes around the whole field")
            rest = comma + rest
        fields.append(field)
        if not rest:
            return tuple(fields)
        rest = rest[1:]


def _take_quoted(text: str, rest: str) -> tuple[str, str]:
    parts: list[str] = []
    while True:
        part, quote, rest = rest.partition('"')
        parts.append(part)
        if not quote or (rest and rest[0] not in '",'):
            raise _fault(text, "a quoted field has no end", None)
        if not rest.startswith('"'):
            return "".join(parts), rest
        parts.append('"')
        rest = rest[1:]


def _canonical(key: str) -> str:
    return _SYNONYMS.get(key.lower(), key.lower())


def _with_option(mount: Mount, name: str, value: str) -> Mount:
    text = mount.text
    match name:
        case "type":
            return replace(mount, type=_one_of(text, "mount type", value, _TYPES))
        case "sharing":
            return replace(mount, sharing=_one_of(text, "sharing", value, _SHARING))
        case "required":
            _only_for(mount, name, ("secret", "ssh"))
            return replace(mount, required=_truth(text, name, value))
        case "size":
            _only_for(mount, name, ("tmpfs",))
            return replace(mount, size=_size(text, value))
        case "mode" | "uid" | "gid":
            return _with_number(mount, name, value)
        case _:
            return _with_text(mount, name, value)


def _with_text(mount: Mount, name: str, value: str) -> Mount:
    match name:
        case "from":
            return replace(mount, from_=value)
        case "source":
            return replace(mount, source=value)
        case "target":
            return replace(mount, target=value)
        case "id":
            return replace(mount, id=value)
        case _:
            return replace(mount, env=value)


def _with_number(mount: Mount, name: str, value: str) -> Mount:
    digits, base = ("01234567", 8) if name == "mode" else ("0123456789", 10)
    number = int(value[:20], base) if value and not value.strip(digits) else -1
    if not 0 <= number < 1 << 32:
        raise _fault(mount.text, f"`{value}` is not a {name}", None)
    match name:
        case "mode":
            return replace(mount, mode=number)
        case "uid":
            return replace(mount, uid=number)
        case _:
            return replace(mount, gid=number)


def _checked(mount: Mount) -> Mount:
    owners: Mapping[str, int | None] = {"mode": mount.mode, "uid": mount.uid, "gid": mount.gid}
    if mount.type not in ("secret", "ssh", "cache"):
        for name, value in owners.items():
            if value is not None:
                raise _fault(mount.text, f"a {mount.type} mount takes no `{name}`", None)
    if mount.type == "secret":
        if mount.from_:
            raise _fault(mount.text, "a secret mount takes no `from`", None)
        if not (mount.source or mount.target or mount.id):
            raise _fault(mount.text, "a secret mount needs `id`, `source` or `target`", None)
        if mount.source and mount.id:
            raise _fault(mount.text, "a secret mount takes `source` or `id`, not both", None)
    if mount.sharing and mount.type != "cache":
        raise _fault(mount.text, f"a {mount.type} mount takes no `sharing`", None)
    return mount


def _only_for(mount: Mount, name: str, types: tuple[str, ...]) -> None:
    """Refuse an option that another type has; as in BuildKit, ``type`` must stand before it."""
    if mount.type not in types:
        raise _fault(mount.text, f"a {mount.type} mount takes no `{name}`", f"`type={types[0]}` must stand before it")


def _one_of(text: str, what: str, value: str, options: tuple[str, ...]) -> str:
    if value.lower() not in options:
        raise _fault(
            text, f"`{value}` is not a {what}", did_you_mean(value, options) or f"it is one of {', '.join(options)}"
        )
    return value.lower()


def _truth(text: str, name: str, value: str) -> bool:
    if value not in _TRUE | _FALSE:
        raise _fault(text, f"`{name}` is true or false, not `{value}`", None)
    return value in _TRUE


def _size(text: str, value: str) -> int:
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise _fault(text, f"`{value}` is not a size", "write it as a number of bytes, or such as 64m")
    size = float(match[1]) * _UNITS[match[2].lower()]
    if size >= 1 << 63:
        raise _fault(text, f"`{value}` is too large for a size", None)
    return int(size)


def _fault(text: str, message: str, help_text: str | None) -> Fault:
    return Fault("DF024", message, needle=text, help=help_text)

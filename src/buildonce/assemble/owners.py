"""Owners: what --chown and USER mean in an image that has an /etc/passwd and an /etc/group.

The rules are BuildKit's: client/llb `WithUser`, solver/llbsolver/ops `readUser`, and moby/sys/user's parsers.
"""

from __future__ import annotations

from msgspec import Struct, field

from buildonce.assemble.entries import NotExpressible

_PASSWD_LINE_LIMIT = 64 << 10
_GROUP_LINE_LIMIT = 1 << 20
_ID_LIMIT = 1 << 31


class Owner(Struct, frozen=True, kw_only=True):
    """A user and a group, by number."""

    uid: int
    gid: int


class Passwd(Struct, frozen=True, kw_only=True):
    """The bytes of an image's /etc/passwd and /etc/group; None where there is no such file.

    ``problems`` says of a name why that file cannot be read, if it cannot (it is a directory, it is over 10 MiB).
    """

    passwd: bytes | None = None
    group: bytes | None = None
    problems: dict[str, str] = field(default_factory=dict)


NO_PASSWD = Passwd()


def resolve_owner(text: str, passwd: Passwd) -> Owner:
    """Return the owner that ``user[:group]`` means.

    A user that is not there is 0:0, a group that is not there the same as if none was given; neither is an error.

    Raises `NotExpressible` for a passwd file that cannot be read: BuildKit may fail, or know more than is known here.
    """
    user, colon, group = text.partition(":")
    owner = _find_user(user, passwd)
    return Owner(uid=owner.uid, gid=_find_group(group, passwd, owner.gid)) if colon else owner


def needs_names(text: str) -> bool:
    """Say whether ``user[:group]`` has a name in it that a passwd or group file must explain."""
    return any(part and _number(part) is None for part in text.split(":", 1))


def _find_user(user: str, passwd: Passwd) -> Owner:
    number = _number(user)
    if number is not None:
        return Owner(uid=number, gid=number)
    for fields in _lines(passwd.passwd, "passwd", passwd, limit=_PASSWD_LINE_LIMIT):
        if fields[0] == user.encode("utf-8", "surrogateescape"):
            return Owner(uid=_field_id(fields, 2), gid=_field_id(fields, 3))
    return Owner(uid=0, gid=0)


def _find_group(group: str, passwd: Passwd, default: int) -> int:
    number = _number(group)
    if number is not None:
        return number
    for fields in _lines(passwd.group, "group", passwd, limit=_GROUP_LINE_LIMIT):
        if fields[0] == group.encode("utf-8", "surrogateescape"):
            return _field_id(fields, 2)
    return default


def _number(text: str) -> int | None:
    """Return the number that ``text`` is to Go's ``strconv.ParseInt(text, 10, 32)``; "root" and nothing are 0."""
    if text in ("", "root"):
        return 0
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(text)
    if -_ID_LIMIT <= number < 0:
        raise NotExpressible(f"the owner `{text}` is less than 0")
    return number if 0 <= number < _ID_LIMIT else None


def _lines(content: bytes | None, name: str, passwd: Passwd, *, limit: int) -> list[list[bytes]]:
    if name in passwd.problems:
        raise NotExpressible(f"an owner cannot be looked up: {passwd.problems[name]}")
    lines = (content or b"").split(b"\n")
    if any(len(line) >= limit for line in lines):
        raise NotExpressible(f"an owner cannot be looked up: /etc/{name} has a line of more than {limit} bytes")
    stripped = (line.strip() for line in lines)
    return [line.split(b":") for line in stripped if line and not (name == "group" and line.startswith(b"#"))]


def _field_id(fields: list[bytes], index: int) -> int:
    """Return a field as Go's ``strconv.Atoi`` reads it, errors taken as 0."""
    text = fields[index].decode("latin-1") if index < len(fields) else ""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return 0
    number = int(text)
    if not 0 <= number < _ID_LIMIT:
        raise NotExpressible(f"`{number}` in a passwd or group file is no number of a user")
    return number

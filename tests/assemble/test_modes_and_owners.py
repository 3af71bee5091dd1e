from __future__ import annotations

import pytest

from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.modes import parse_mode
from buildonce.assemble.owners import Owner, Passwd, needs_names, resolve_owner
from buildonce.errors import AssemblyError


@pytest.mark.parametrize(
    ("text", "mode", "file", "directory"),
    [
        ("755", 0o644, 0o755, 0o755),
        ("0", 0o7777, 0, 0),
        ("07777", 0, 0o7777, 0o7777),
        ("u+w,go-rwx", 0o477, 0o600, 0o600),
        ("a=rX,u+w", 0o755, 0o755, 0o755),
        ("a=rX", 0o600, 0o444, 0o555),
        ("+x", 0o640, 0o751, 0o751),
        ("=", 0o7777, 0o1000, 0o1000),
        ("u=", 0o7777, 0o3077, 0o3077),
        ("g=u", 0o700, 0o770, 0o770),
        ("go=u", 0o4750, 0o4777, 0o4777),
        ("o=g-w", 0o770, 0o775, 0o775),
        ("u-g", 0o750, 0o250, 0o250),
        ("g+u", 0o740, 0o770, 0o770),
        ("u=gw", 0o070, 0o270, 0o270),
        ("ug+s", 0o755, 0o6755, 0o6755),
        ("o+s", 0o755, 0o755, 0o755),
        ("+t", 0o755, 0o1755, 0o1755),
        ("o+t", 0o755, 0o755, 0o755),
        ("+tx", 0o644, 0o1644, 0o1644),
        ("-X", 0o777, 0o666, 0o666),
        ("u=rwx-x+s", 0o000, 0o4600, 0o4600),
        ("a-rwx,u+r", 0o777, 0o400, 0o400),
        ("u=rw,g=u,o=g", 0o000, 0o666, 0o666),
        ("X", None, None, None),
    ],
)
def test_modes(text: str, mode: int | None, file: int | None, directory: int | None) -> None:
    if mode is None:
        with pytest.raises(AssemblyError):
            parse_mode(text)
        return
    change = parse_mode(text)
    assert (change.apply(mode, is_directory=False), change.apply(mode, is_directory=True)) == (file, directory)


@pytest.mark.parametrize(
    "text", ["8", "77777", "0o755", "u", "u+w,", ",u+w", "u+wq", "u~w", "a+x+", "z+x", "999999999999"]
)
def test_what_is_no_mode(text: str) -> None:
    if text == "a+x+":
        assert parse_mode(text).apply(0, is_directory=False) == 0o111
        return
    with pytest.raises(AssemblyError):
        parse_mode(text)


PASSWD = Passwd(
    passwd=b"root:x:9:9::/:\n  app : x:1:1\napp:x:1001:1002::/:/bin/sh\r\napp:x:7:7\nshort\n"
    b"bad:x:a:b\nsigned:x:+5:6\nminus:x:-1:6\n",
    group=b"#staff:x:51:\nstaff:x:50:\nstaff:x:52:\n app:x:1002:\n\n",
)


@pytest.mark.parametrize(
    ("text", "uid", "gid"),
    [
        ("app", 1001, 1002),
        ("app:staff", 1001, 50),
        ("app:", 1001, 0),
        ("5", 5, 5),
        ("5:6", 5, 6),
        ("+5", 5, 5),
        (":staff", 0, 50),
        (":", 0, 0),
        ("root", 0, 0),
        ("root:root", 0, 0),
        ("nobody", 0, 0),
        ("nobody:nogroup", 0, 0),
        ("5:nogroup", 5, 5),
        ("5:#staff", 5, 5),
        ("short", 0, 0),
        ("bad", 0, 0),
        ("signed", 5, 6),
        ("2147483647", 2147483647, 2147483647),
        ("2147483648", 0, 0),
        ("app:a:b", 1001, 1002),
        ("\u0665", 0, 0),
    ],
)
def test_owners(text: str, uid: int, gid: int) -> None:
    assert resolve_owner(text, PASSWD) == Owner(uid=uid, gid=gid)


@pytest.mark.parametrize("text", ["-1", "5:-6", "minus"])
def test_owners_below_zero_are_left_to_an_engine(text: str) -> None:
    with pytest.raises(NotExpressible):
        resolve_owner(text, PASSWD)


def test_a_line_that_buildkit_cannot_read_is_an_error() -> None:
    long = Passwd(passwd=b"x" * (64 << 10) + b"\napp:x:1:1", group=b"x" * (1 << 20))
    with pytest.raises(AssemblyError, match="passwd"):
        resolve_owner("app", long)
    with pytest.raises(AssemblyError, match="group"):
        resolve_owner("1:app", long)


def test_numbers_need_no_names() -> None:
    assert [needs_names(text) for text in ("5", "5:6", "root:", ":root", "app", "5:app")] == [False] * 4 + [True] * 2

from __future__ import annotations

import pytest

from buildonce.dockerfile.durations import parse_duration
from buildonce.dockerfile.paths import clean_path, join_workdir, resolve_destination
from buildonce.dockerfile.ports import parse_port
from buildonce.dockerfile.problems import Fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("1s", 10**9),
        ("1.5h", 5400 * 10**9),
        (".5s", 5 * 10**8),
        ("1.s", 10**9),
        ("1m2s3ms", 62_003_000_000),
        ("-1s", -(10**9)),
        ("1\u00b5s", 1000),
        ("", None),
        ("1", None),
        ("s", None),
        (".s", None),
        ("1d", None),
        ("9999999999h", None),
        ("1" * 5000 + "s", None),
        ("1" * 60000, None),
        ("0" * 5000 + "1s", 10**9),
        ("0." + "1" * 5000 + "s", 111_111_111),
    ],
)
def test_duration(text: str, expected: int | None) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", ("80/tcp",)),
        ("80/UDP", ("80/udp",)),
        ("80-82/sctp", ("80/sctp", "81/sctp", "82/sctp")),
        ("8080:80", ("80/tcp",)),
        ("127.0.0.1:1-2:3-4", ("3/tcp", "4/tcp")),
        ("[::1]:1:2", ("2/tcp",)),
        ("5-5", ("5/tcp",)),
        ("80/", ("80/tcp",)),
    ],
)
def test_port(text: str, ports: tuple[str, ...]) -> None:
    assert parse_port(text) == ports


@pytest.mark.parametrize("text", ["", "x", "80/x", "65536", "2-1", "1-3:1-2", "x:1:2", "/tcp", "-1"])
def test_port_is_refused(text: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_port(text)
    assert caught.value.problem == "DF029"


@pytest.mark.parametrize(
    ("workdir", "path", "expected"),
    [
        ("/", "a", "/a"),
        ("/a", "b", "/a/b"),
        ("/a", "../../b", "/b"),
        ("/a", "/b/../c/", "/b/../c/"),
        ("/a", "", "/a"),
        ("/a", ".", "/a"),
        ("", "x/", "/x"),
        ("a", "b", "/a/b"),
    ],
)
def test_workdir(workdir: str, path: str, expected: str) -> None:
    assert join_workdir(workdir, path) == expected


@pytest.mark.parametrize(
    ("workdir", "path", "expected"),
    [
        ("/w", "x", "/w/x"),
        ("/w", "x/", "/w/x/"),
        ("/w", "x/.", "/w/x/."),
        ("/w", ".", "/w/"),
        ("/w", "", "/w/"),
        ("/w", "/x/", "/x/"),
        ("/", ".", "/"),
        ("/", "/.", "/."),
        ("/w", "..", "/"),
    ],
)
def test_destination(workdir: str, path: str, expected: str) -> None:
    assert resolve_destination(workdir, path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", "."), ("/", "/"), ("//a//b/", "/a/b"), ("a/./b/../c", "a/c"), ("/..", "/"), ("../a", "../a")],
)
def test_clean(path: str, expected: str) -> None:
    assert clean_path(path) == expected

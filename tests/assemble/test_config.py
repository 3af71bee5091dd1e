from __future__ import annotations

import json

import pytest

from buildonce.assemble.config import (
    apply_metadata,
    decode_config,
    encode_config,
    resolve_workdir,
    scratch_config,
    with_default_path,
    working_directory,
)
from buildonce.assemble.gotext import duration, encode_go_json, quote
from buildonce.dockerfile.syntax import Cmd
from buildonce.errors import AssemblyError
from buildonce.oci import Platform
from tests.assemble.replay import evaluate

_BASE = {
    "config": {
        "Env": ["PATH=/bin", "A=old"],
        "Cmd": ["sh"],
        "Labels": {"z": "1"},
        "ExposedPorts": {"80/tcp": {}},
        "Shell": ["/bin/ash", "-c"],
        "Unknown": {"kept": True},
    },
    "x-unknown": [1],
}


@pytest.mark.parametrize(
    ("instructions", "changes", "history"),
    [
        ("ENV A=1 B='x y'", {"Env": ["PATH=/bin", "A=1", "B=x y"]}, ["ENV A=1 B=x y"]),
        ("LABEL a=1 z=2", {"Labels": {"z": "2", "a": "1"}}, ["LABEL a=1 z=2"]),
        ('CMD ["a", "b c"]', {"Cmd": ["a", "b c"], "ArgsEscaped": True}, ['CMD ["a" "b c"]']),
        ("CMD a b", {"Cmd": ["/bin/ash", "-c", "a b"], "ArgsEscaped": True}, ['CMD ["/bin/ash" "-c" "a b"]']),
        ('ENTRYPOINT ["a"]', {"Entrypoint": ["a"], "Cmd": None}, ['ENTRYPOINT ["a"]']),
        (
            'CMD ["x"]\nENTRYPOINT ["a"]',
            {"Entrypoint": ["a"], "Cmd": ["x"], "ArgsEscaped": True},
            ['CMD ["x"]', 'ENTRYPOINT ["a"]'],
        ),
        ("EXPOSE 53/udp", {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}, ["EXPOSE [53/udp]"]),
        ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}, ["VOLUME [/a /b]"]),
        ("USER app:staff", {"User": "app:staff"}, ["USER app:staff"]),
        ("WORKDIR a", {"WorkingDir": "/a"}, ["WORKDIR /a"]),
        ("STOPSIGNAL 9", {"StopSignal": "9"}, ["STOPSIGNAL 9"]),
        ('SHELL ["/bin/sh", "-e"]', {"Shell": ["/bin/sh", "-e"]}, ["SHELL [/bin/sh -e]"]),
        ("ARG A=1 B", {}, ["ARG A=1 B"]),
        ("ONBUILD RUN make", {"OnBuild": ["RUN make"]}, []),
    ],
)
def test_instructions(instructions: str, changes: dict[str, object], history: list[str]) -> None:
    config, texts, cmd_is_set = dict(_BASE), list[str](), False
    for step in evaluate(instructions):
        config, entry = apply_metadata(config, step.expanded, cmd_is_set=cmd_is_set)  # type: ignore[arg-type]
        cmd_is_set = cmd_is_set or isinstance(step.expanded, Cmd)
        if entry:
            texts.append(entry.created_by)
            assert entry.empty_layer == (not entry.created_by.startswith("WORKDIR"))
    assert config == {**_BASE, "config": {**_BASE["config"], **changes}}  # type: ignore[dict-item]
    assert texts == history


def test_a_health_check_is_printed_as_go_prints_it() -> None:
    (step,) = evaluate("HEALTHCHECK --interval=90s --timeout=1500ms --retries=3 CMD curl x")
    config, entry = apply_metadata({}, step.expanded)  # type: ignore[arg-type]
    assert entry
    assert entry.created_by == (
        "HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:1m30s Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:3}"
    )
    written = json.loads(encode_config(config))["config"]["Healthcheck"]
    assert written == {
        "Test": ["CMD-SHELL", "curl x"],
        "Interval": 90_000_000_000,
        "Timeout": 1_500_000_000,
        "Retries": 3,
    }


def test_a_maintainer_is_the_author() -> None:
    (step,) = evaluate("MAINTAINER me")
    config, entry = apply_metadata({"author": "you"}, step.expanded)  # type: ignore[arg-type]
    assert config["author"] == "me"
    assert entry
    assert entry.created_by == "MAINTAINER me"


@pytest.mark.parametrize(
    ("current", "path", "expected"),
    [
        ("", "a", "/a"),
        ("/w", "", "/w"),
        ("/w", ".", "/w"),
        ("/w", "../..", "/"),
        ("/w", "/a//b/../c/", "/a//b/../c/"),
        ("w", "a", "/w/a"),
    ],
)
def test_working_directories(current: str, path: str, expected: str) -> None:
    assert resolve_workdir({"config": {"WorkingDir": current}}, path) == expected
    assert working_directory({"config": {"WorkingDir": current}}) == (current or "/")


def test_configs_are_written_as_go_writes_them() -> None:
    config = {
        "rootfs": {"diff_ids": ["sha256:1"], "type": "layers"},
        "history": [{"empty_layer": False, "created_by": "a & b", "x": 1, "created": "t"}],
        "os": "linux",
        "config": {"Labels": {"b": "<", "a": ""}, "Env": [], "Cmd": None, "Zed": "", "User": "u"},
        "architecture": "amd64",
    }
    assert encode_config(config).decode() == (
        '{"architecture":"amd64","config":{"User":"u","Labels":{"a":"","b":"\\u003c"},"Zed":""},'
        '"history":[{"created":"t","created_by":"a \\u0026 b","x":1}],"os":"linux",'
        '"rootfs":{"type":"layers","diff_ids":["sha256:1"]}}'
    )


def test_a_config_comes_back() -> None:
    content = encode_config({**_BASE, "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}})
    assert encode_config(decode_config(content)) == content
    assert decode_config(content)["config"]["Unknown"] == {"kept": True}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b'{"config":[]}', b'{"history":{}}', b'{"rootfs":"x"}', b"[" * 5000]
)
def test_what_is_no_config(content: bytes) -> None:
    with pytest.raises(AssemblyError):
        decode_config(content)


def test_scratch_begins_with_a_path_and_a_directory() -> None:
    assert json.loads(scratch_config(Platform("linux", "arm", "v7"))) == {
        "architecture": "arm",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "WorkingDir": "/"},
        "history": None,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": None},
        "variant": "v7",
    }


def test_a_path_is_added_where_there_is_none() -> None:
    assert with_default_path({"os": "linux", "config": {"Env": ["A=1"]}})["config"]["Env"][1].startswith(
        "PATH=/usr/local"
    )
    assert with_default_path(_BASE) == _BASE
    assert with_default_path({"os": "windows"}) == {"os": "windows"}


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (1_000_000_000, "1s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_661_001_000_000, "1h1m1.001s"),
        (60_000_000_001, "1m0.000000001s"),
        (-1_500_000_000, "-1.5s"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('a"b\\', '"a\\"b\\\\"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x7f\x1b", '"\\x00\\x7f\\x1b"'),
        ("\u00e9\u4e16", '"\u00e9\u4e16"'),
        ("\u00a0\u200b\u2028", '"\\u00a0\\u200b\\u2028"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\udcff", '"\\xff"'),
        ("\U0001f600", '"\U0001f600"'),
    ],
)
def test_quoted_strings(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_json_strings_are_escaped_as_go_does() -> None:
    assert (
        encode_go_json("<>&\u2028\u00e9\udcff\n\x01") == '"\\u003c\\u003e\\u0026\\u2028\u00e9\ufffd\\n\\u0001"'.encode()
    )

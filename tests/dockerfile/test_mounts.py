from __future__ import annotations

import pytest

from buildonce.dockerfile.mounts import resolve_mount, split_fields
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.syntax import Mount


def resolve(text: str) -> Mount:
    return resolve_mount(text, lambda value: value.replace("$V", "cache"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/x", {"target": "/x"}),
        ("type=$V,dst=/x", {"type": "cache", "target": "/x", "read_only": False}),
        ("type=bind,src=a,destination=/x,rw", {"source": "a", "target": "/x", "read_only": False}),
        ("type=bind,from=s,target=/x,readonly=false", {"from_": "s", "target": "/x", "read_only": False}),
        (
            "TYPE=Cache,target=/x,sharing=Locked,id=i,uid=1,gid=2,mode=0755",
            {
                "type": "cache",
                "target": "/x",
                "sharing": "locked",
                "id": "i",
                "uid": 1,
                "gid": 2,
                "mode": 0o755,
                "read_only": False,
            },
        ),
        ("type=tmpfs,target=/x,size=64m", {"type": "tmpfs", "target": "/x", "size": 64 << 20, "read_only": False}),
        ("type=secret,id=t,env=T,required", {"type": "secret", "id": "t", "env": "T", "required": True}),
        ("type=ssh", {"type": "ssh"}),
        ('type=bind,"source=a,b",target=/x', {"source": "a,b", "target": "/x"}),
    ],
)
def test_mount(text: str, expected: dict[str, object]) -> None:
    mount = resolve(text)
    fields = {name: getattr(mount, name) for name in Mount.__struct_fields__}
    assert fields == {name: getattr(Mount(text=text), name) for name in Mount.__struct_fields__} | expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "type=x",
        "target",
        "foo=1",
        "type=cache,sharing=x",
        "sharing=shared",
        "size=1",
        "type=tmpfs,size=x",
        "type=tmpfs,size=" + "9" * 400,
        "mode=7",
        "type=cache,mode=8",
        "type=cache,uid=-1",
        "type=secret",
        "type=secret,from=a,id=b",
        "type=secret,id=a,source=b",
        "required",
        "ro=maybe",
        'a"b',
        '"a',
        '"a"b',
    ],
)
def test_mount_is_refused(text: str) -> None:
    with pytest.raises(Fault):
        resolve(text)


@pytest.mark.parametrize(
    ("text", "fields"),
    [("a,b", ("a", "b")), ("a,,", ("a", "", "")), ('"a,""b""",c', ('a,"b"', "c")), ('""', ("",)), ("a\r\n", ("a",))],
)
def test_fields(text: str, fields: tuple[str, ...]) -> None:
    assert split_fields(text) == fields

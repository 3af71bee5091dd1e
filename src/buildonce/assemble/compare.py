"""Two trees or two configs compared, entry by entry: the proof that assembly gives what an engine gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from buildonce.assemble.config import decode_config, encode_config
from buildonce.assemble.entries import Entry, walk_order
from buildonce.assemble.tree import Tree

_MISSING = "nothing"
_HEALTHCHECKS = ("HEALTHCHECK &{[", "HEALTHCHECK {Test:[")


class Difference(Struct, frozen=True, kw_only=True):
    """One fact that is not the same: of a path in a tree (``/usr/bin/x``) or in a config (``config.Env``)."""

    path: str
    what: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what} is {self.actual}, expected {self.expected}"


def tree_differences(expected: Tree, actual: Tree) -> tuple[Difference, ...]:
    """Return where two trees differ in anything but times, in the walk's order.

    Compared are type, mode, owner, size, content, link target, capability, device, and which names are one file. A
    content without a digest on either side counts as different.
    """
    differences: list[Difference] = []
    for path in sorted(expected.keys() | actual.keys(), key=walk_order):
        one, other = expected.get(path), actual.get(path)
        if one is None or other is None:
            differences.append(
                Difference(path=f"/{path}", what="entry", expected=_kind(one), actual=_kind(other)),
            )
            continue
        facts = zip(_facts(one), _facts(other), strict=True)
        differences += (
            Difference(path=f"/{path}", what=name, expected=left, actual=right)
            for (name, left), (_, right) in facts
            if left != right or left == _UNKNOWN
        )
    return tuple(differences)


def config_differences(expected: bytes, actual: bytes) -> tuple[Difference, ...]:
    """Return where two image configs differ in anything but times and diff IDs.

    How the history spells a HEALTHCHECK depends on the version of BuildKit; what it means is in the config itself.
    """
    return tuple(_differences("", _timeless(expected), _timeless(actual)))


_UNKNOWN = "not hashed"


def _kind(entry: Entry | None) -> str:
    return _MISSING if entry is None else entry.type.name.lower()


def _facts(entry: Entry) -> tuple[tuple[str, str], ...]:
    has_content = entry.type.name == "FILE" and entry.size > 0
    return (
        ("type", _kind(entry)),
        ("mode", f"{entry.mode:04o}"),
        ("owner", f"{entry.uid}:{entry.gid}"),
        ("size", str(entry.size)),
        ("content", (entry.digest or _UNKNOWN) if has_content else ""),
        ("link", entry.link or ""),
        ("capability", (entry.capability or b"").hex()),
        ("device", ":".join(map(str, entry.device or ()))),
        ("hard link", entry.hardlink or ""),
    )


def _timeless(content: bytes) -> Mapping[str, Any]:
    config = decode_config(encode_config(decode_config(content)))
    history = [_timeless_entry(entry) for entry in config["history"] or ()]
    rootfs = {key: value for key, value in config["rootfs"].items() if key != "diff_ids"}
    return {key: value for key, value in config.items() if key != "created"} | {"history": history, "rootfs": rootfs}


def _timeless_entry(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    is_spelt = str(entry.get("created_by", "")).startswith(_HEALTHCHECKS)
    return {key: value for key, value in entry.items() if key != "created"} | (
        {"created_by": "HEALTHCHECK"} if is_spelt else {}
    )


def _differences(path: str, expected: object, actual: object) -> Iterator[Difference]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in sorted(expected.keys() | actual.keys()):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(inner, expected.get(key, _MISSING), actual.get(key, _MISSING))
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif expected != actual:
        yield Difference(path=path, what="value", expected=_text(expected), actual=_text(actual))


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)

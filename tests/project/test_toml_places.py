"""Where keys and values stand in a TOML text."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from buildonce.dockerfile.syntax import Place
from buildonce.project.toml_places import KeyPath, find_double, index_places, scan_places

TEXT = '''\
# a comment = 1
a = "x" # y
b.c = [1, "two", # no ] here
  {d = 'q'}]
[x."y z"]
k = """
multi " = line
"""
"q\\u0041" = 'lit'
[[l]]
n = 1
[[l]]
n = 2
[l.m]
o = 1979-05-27 07:32:00
f = {a = 1, b = [2,3]}
'''


def at(place: Place, text: str) -> str:
    return text.split("\n")[place.line - 1][place.column - 1 :][: place.width]


def leaves(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Return the paths of all values that `tomllib` reads."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from leaves(one, (*path, number))


def test_keys_and_values_are_where_they_stand() -> None:
    found = index_places(scan_places(TEXT))
    shown = {path: (at(entry.key, TEXT), at(entry.value, TEXT)) for path, entry in found.items()}
    assert shown["a",] == ("a", '"x"')
    assert shown["b", "c"] == ("c", '[1, "two", # no ] here')
    assert shown["b", "c", 1] == ('"two"', '"two"')
    assert shown["b", "c", 2, "d"] == ("d", "'q'")
    assert shown["x", "y z"] == ('"y z"', '"y z"')
    assert shown["x", "y z", "k"] == ("k", '"""')
    assert shown["x", "y z", "qA"] == ('"q\\u0041"', "'lit'")
    assert shown["l", 1, "n"] == ("n", "2")
    assert shown["l", 1, "m", "o"] == ("o", "1979-05-27 07:32:00")
    assert set(shown) == set(leaves(tomllib.loads(TEXT)))


def test_what_stands_twice_is_found_and_tables_of_an_array_are_not() -> None:
    assert find_double(scan_places(TEXT)) is None
    doubled = find_double(scan_places("a.b = 1\n[c]\nd = 1\n[a]\n[c]\n"))
    assert doubled
    assert [entry.key.line for entry in doubled] == [2, 5]


_KEYS = st.text(max_size=4) | st.sampled_from(["a", "b", "a b", "ü", 'q"', "'"])
_LEAVES = st.booleans() | st.integers(-9, 99) | st.text(max_size=6) | st.just('say "x" = ] } #')
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
_TABLES = st.dictionaries(_KEYS, _VALUES, max_size=3)


def written(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case list():
            return "[ " + ",\n  # ] a comment\n ".join(map(written, value)) + " ]"
        case dict():
            return "{" + ", ".join(f"{quoted(key)} = {written(one)}" for key, one in value.items()) + "}"
        case _:
            return str(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@given(top=_TABLES, tables=st.dictionaries(_KEYS, st.dictionaries(_KEYS, _TABLES, max_size=2), max_size=2))
def test_every_value_that_is_read_has_a_place(
    top: dict[str, object], tables: dict[str, dict[str, dict[str, object]]]
) -> None:
    lines = [f"{quoted(key)}.{quoted('x')}  = {written(value)} # {key!a}" for key, value in top.items()]
    for key, inner in tables.items():
        for name, table in inner.items():
            lines += ["", f"[ {quoted('t ' + key)} . {quoted(name)} ]"]
            lines += [f"\t{quoted(one)}={written(value)}" for one, value in table.items()]
    text = "\n".join(lines)
    document = tomllib.loads(text)
    found = index_places(scan_places(text))
    assert set(found) == set(leaves(document))
    for path, entry in found.items():
        value: Any = document
        for part in path:
            value = value[part]
        if isinstance(value, str | int):
            assert tomllib.loads(f"v = {at(entry.value, text)}") == {"v": value}


@given(st.text(alphabet="ab=.[]{}\"'#,\n 1"))
def test_any_text_is_gone_over(text: str) -> None:
    scan_places(text)

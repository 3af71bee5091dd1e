"""The values in a buildonce.toml: read as their keys have them, or complained of at their places."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from buildonce.dockerfile.problems import did_you_mean
from buildonce.project.build_settings import Value
from buildonce.project.forms import GIVEN_STAGE, LATEST_RULE, find_wrong
from buildonce.project.keys import GIVEN, GIVEN_FILES, PROJECT_KEYS, VARIANT_KEYS, VARIANTS, Key, Shape
from buildonce.project.problems import Page
from buildonce.project.toml_places import KeyPath

Document = dict[str, object]


def read_table(
    page: Page, table: Document, path: KeyPath, keys: Mapping[str, Key], also: Collection[str] = ()
) -> Mapping[str, Value]:
    """Return the table's values that are as they should be."""
    found: dict[str, Value] = {}
    for name, value in table.items():
        if name in also:
            continue
        if name not in keys:
            where = f" in [{'.'.join(map(str, path))}]" if path else ""
            page.complain(page.key((*path, name)), f"unknown key `{name}`{where}", help=_about_key(name, keys, also))
        elif (read := read_value(page, value, (*path, name), keys[name])) is not None:
            found[name] = read
    return found


def _about_key(name: str, keys: Mapping[str, Key], also: Collection[str]) -> str:
    if keys is VARIANT_KEYS and name in PROJECT_KEYS:
        return f"`{name}` counts for all variants: put it above the first [table]"
    if keys is PROJECT_KEYS and name in VARIANT_KEYS:
        return f"`{name}` is a key of a variant: put it into [variants.NAME]"
    known = {*keys, *also}
    plain = name.lower().replace("_", "-")
    if plain in known:
        return f"did you mean `{plain}`?"
    return did_you_mean(plain, known) or f"the keys are {', '.join(sorted(known))}"


def read_value(page: Page, value: object, path: KeyPath, key: Key) -> Value | None:
    match key.shape, value:
        case Shape.STRING, str():
            return read_text(page, value, path, key)
        case Shape.BOOLEAN, bool():
            return value
        case Shape.ARRAY, list():
            return _read_array(page, value, path, key)
        case Shape.TABLE, dict():
            return read_texts(page, value, path, key)
    page.complain(
        page.value(path),
        f"`{key.name}` should be {key.shape.value}, and is {kind_of(value)}",
        help=_about_type(value, path, key),
    )
    return None


def _about_type(value: object, path: KeyPath, key: Key) -> str:
    match key.shape:
        case Shape.ARRAY:
            item = value if isinstance(value, str) and value else key.form.example
            return f'write {key.name} = ["' + '", "'.join(part.strip() for part in item.split(",")) + '"]'
        case Shape.TABLE:
            return f'write {key.name} = {{ NAME = "value" }}, or [{".".join(map(str, path))}] with a line for each'
        case Shape.BOOLEAN:
            return f"write {key.name} = true, or {key.name} = false, without quotes"
        case Shape.STRING if isinstance(value, bool) and key.form is LATEST_RULE:
            return f'write {key.name} = "{"always" if value else "never"}"'
        case Shape.STRING:
            match value:
                case [str() as only]:
                    return f'write {key.name} = "{only}"'
                case _:
                    return f'write {key.name} = "{key.form.example}"'


def read_text(page: Page, value: str, path: KeyPath, key: Key) -> str | None:
    if wrong := find_wrong(key.form, value, _title(path)):
        page.complain(page.value(path), wrong.message, help=wrong.help)
        return None
    return value


def _read_array(page: Page, values: list[object], path: KeyPath, key: Key) -> tuple[str, ...] | None:
    if not values:
        page.complain(page.value(path), f"`{_told(path)}` has nothing in it", help="leave it out, or name something")
        return None
    found: list[str] = []
    for number, value in enumerate(values):
        place = (*path, number)
        if not isinstance(value, str):
            page.complain(
                page.value(place), f"`{_told(path)}` should have strings in it, and has {kind_of(value)}",
                help=f"write it in quotes: {_quoted(page, place)}" if not isinstance(value, list | dict) else None,
            )  # fmt: skip
        elif value in found:
            page.complain(page.value(place), f"`{value}` stands twice in `{_told(path)}`", help="remove one")
        elif read_text(page, value, place, key) is not None:
            found.append(value)
    return tuple(found) or None


def read_texts(page: Page, table: Document, path: KeyPath, key: Key) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        place = (*path, name)
        if wrong := key.names and find_wrong(key.names, name, "this key"):
            page.complain(page.key(place), wrong.message, help=wrong.help)
        elif not isinstance(value, str):
            page.complain(
                page.value(place), f"`{_told(place)}` should be a string, and is {kind_of(value)}",
                help=_about_entry(page, name, value, place),
            )  # fmt: skip
        elif (text := read_text(page, value, place, key)) is not None:
            found[name] = text
    return MappingProxyType(found)


def _about_entry(page: Page, name: str, value: object, place: KeyPath) -> str | None:
    if not isinstance(value, list | dict):
        return f"write it in quotes: {name} = {_quoted(page, place)}"
    if name in PROJECT_KEYS or name in VARIANT_KEYS or name == VARIANTS:
        return f"is `{name}` a key of the project? It has to stand above [{'.'.join(map(str, place[:-1]))}]"
    return "a value is one string" if isinstance(value, list) else None


def _quoted(page: Page, place: KeyPath) -> str:
    return f'"{page.text(page.value(place))}"'


def _told(path: KeyPath) -> str:
    """Return the last key of a path, or the table and the key in it."""
    names = [part for part in path if isinstance(part, str)]
    return ".".join(names[2:] if names[0] == VARIANTS else names)


def _title(path: KeyPath) -> str:
    return f"`{_told(path)}`" if isinstance(path[-1], str) else f"an item of `{_told(path)}`"


def kind_of(value: object) -> str:
    """Return what a value is, in TOML's words."""
    match value:
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a float"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def read_given(page: Page, document: Document) -> Mapping[str, Mapping[str, str]]:
    """Return what is given for stages: for each, paths on disk by their places in the stage."""
    table = document.get(GIVEN, {})
    if not isinstance(table, dict):
        page.complain(
            page.value((GIVEN,)), f"`given` should be a table, and is {kind_of(table)}",
            help='write [given], with a line for each stage: STAGE = "dist/{os}-{arch}"',
        )  # fmt: skip
        return {}
    found: dict[str, Mapping[str, str]] = {}
    for stage, value in table.items():
        path = (GIVEN, stage)
        if wrong := find_wrong(GIVEN_STAGE, stage, "this key"):
            page.complain(page.key(path), wrong.message, help=wrong.help)
        elif isinstance(value, dict):
            if not value:
                page.complain(page.key(path), f"`{_told(path)}` has nothing in it", help=_GIVEN_HELP)
            found[stage] = read_texts(page, value, path, GIVEN_FILES)
        elif not isinstance(value, str):
            page.complain(
                page.value(path), f"`{_told(path)}` should be a string or a table, and is {kind_of(value)}",
                help=_GIVEN_HELP,
            )  # fmt: skip
        elif (folder := read_text(page, value, path, GIVEN_FILES)) is not None:
            found[stage] = MappingProxyType({"/": folder})
    return MappingProxyType(found)


_GIVEN_HELP = "it is a folder, or a table of files by their paths in the stage"

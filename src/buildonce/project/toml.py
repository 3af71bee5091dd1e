"""buildonce.toml, read: text in, declaration out, with where each value stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct, field

from buildonce.dockerfile.problems import did_you_mean
from buildonce.dockerfile.syntax import Place
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.forms import LATEST_RULE, VARIANT_NAME, find_wrong
from buildonce.project.keys import (
    CONTEXT,
    DOCKERFILE,
    FILE_NAME,
    INHERITED,
    PROJECT_KEYS,
    VARIANT_KEYS,
    VARIANTS,
    Key,
    Shape,
)
from buildonce.project.problems import Page
from buildonce.project.sense import check_sense
from buildonce.project.toml_places import KeyPath, find_double, index_places, scan_places

Value = str | bool | tuple[str, ...] | Mapping[str, str]
"""A value of a key: of the kind that its shape says."""

Names = tuple[str, ...]

_DOCUMENT = dict[str, object]
_POSITION = re.compile(r"\(at line ([0-9]+), column ([0-9]+)\)")
_FIRST_LETTER = re.compile(r"^[A-Z](?=[a-z])")


class Configuration(Struct, frozen=True, kw_only=True):
    """A declaration, and where each value in it comes from: ``buildonce.toml:3`` for ``variants.claude.tags``.

    What a variant has from the project has the project's origin. ``file`` is None where nobody declared anything.
    ``left_out`` are declared variants that are not for the platforms that are asked for.
    """

    file: str | None = None
    left_out: tuple[VariantDeclaration, ...] = ()
    declaration: Declaration = field(default_factory=Declaration)
    origins: Mapping[Names, str] = field(default_factory=dict)


def read_toml(text: str, path: str = FILE_NAME) -> Configuration:
    """Return what the text declares. Raises `ConfigurationProblem` with everything that is wrong with it."""
    text = text.replace("\r\n", "\n")
    document, page = _parse(text, path)
    project = _read_table(page, document, (), PROJECT_KEYS, also={VARIANTS})
    variants = _read_variants(page, document)
    declaration = _declare(project, variants)
    check_sense(page, declaration, project)
    page.close()
    return Configuration(
        file=path, declaration=declaration, origins=MappingProxyType(_origins(page, project, variants))
    )


def _parse(text: str, path: str) -> tuple[_DOCUMENT, Page]:
    entries = scan_places(text)
    page = Page(path, text.split("\n"), index_places(entries))
    try:
        return tomllib.loads(text), page
    except RecursionError:
        page.complain(Place(line=1, column=1, width=1), "this is nested too deeply to be read")
    except tomllib.TOMLDecodeError as error:
        if doubled := find_double(entries):
            first, second = doubled
            name = ".".join(map(str, second.path))
            page.complain(
                second.key, f"`{name}` stands twice", label=f"it stands at line {first.key.line} already",
                help="keep one of them, with everything that belongs to it",
            )  # fmt: skip
        else:
            _complain_of_syntax(page, text, str(error))
    page.close()
    raise AssertionError


def _complain_of_syntax(page: Page, text: str, said: str) -> None:
    """Show what `tomllib` says, at the place that it names, else at the end of the text."""
    lines = text.rstrip("\n").split("\n")
    found = _POSITION.search(said)
    line, column = (int(found[1]), int(found[2])) if found else (len(lines), len(lines[-1]) + 1)
    what = _FIRST_LETTER.sub(lambda letter: letter[0].lower(), said.partition(" (at ")[0])
    page.complain(Place(line=line, column=column, width=1), f"this is not TOML: {what}")


def _read_variants(page: Page, document: _DOCUMENT) -> Mapping[str, Mapping[str, Value]]:
    if VARIANTS not in document:
        return {}
    table = document[VARIANTS]
    if not isinstance(table, dict):
        page.complain(
            page.value((VARIANTS,)), f"`variants` should be a table, and is {_kind(table)}",
            help="write [variants.NAME], a table for each variant",
        )  # fmt: skip
        return {}
    if not table:
        page.complain(
            page.key((VARIANTS,)), "`variants` has no variant",
            help="write [variants.NAME], or leave it out: then every final stage is a variant",
        )  # fmt: skip
    found = {}
    for name, keys in table.items():
        path = (VARIANTS, name)
        if wrong := find_wrong(VARIANT_NAME, name, "this key"):
            page.complain(page.key(path), wrong.message, help=wrong.help)
        elif name == "latest":
            page.complain(page.key(path), "a variant cannot be called `latest`, as the tag that has a rule of its own")
        elif isinstance(keys, dict):
            found[name] = _read_table(page, keys, path, VARIANT_KEYS)
        else:
            is_project_key = name in PROJECT_KEYS or name in VARIANT_KEYS
            page.complain(
                page.value(path), f"the variant `{name}` should be a table, and is {_kind(keys)}",
                help=f"is `{name}` a key of the project? Put it above the first [table]" if is_project_key
                else f"write [variants.{name}]",
            )  # fmt: skip
    return found


def _read_table(
    page: Page, table: _DOCUMENT, path: KeyPath, keys: Mapping[str, Key], also: frozenset[str] | set[str] = frozenset()
) -> Mapping[str, Value]:
    """Return the table's values that are as they should be."""
    found: dict[str, Value] = {}
    for name, value in table.items():
        if name in also:
            continue
        if name not in keys:
            where = f" in [{'.'.join(map(str, path))}]" if path else ""
            page.complain(page.key((*path, name)), f"unknown key `{name}`{where}", help=_about_key(name, keys, also))
        elif (read := _read_value(page, value, (*path, name), keys[name])) is not None:
            found[name] = read
    return found


def _about_key(name: str, keys: Mapping[str, Key], also: frozenset[str] | set[str]) -> str:
    if keys is VARIANT_KEYS and name in PROJECT_KEYS:
        return f"`{name}` counts for all variants: put it above the first [table]"
    if keys is PROJECT_KEYS and name in VARIANT_KEYS:
        return f"`{name}` is a key of a variant: put it into [variants.NAME]"
    known = {*keys, *also}
    plain = name.lower().replace("_", "-")
    if plain in known:
        return f"did you mean `{plain}`?"
    return did_you_mean(plain, known) or f"the keys are {', '.join(sorted(known))}"


def _read_value(page: Page, value: object, path: KeyPath, key: Key) -> Value | None:
    match key.shape, value:
        case Shape.STRING, str():
            return _read_text(page, value, path, key)
        case Shape.BOOLEAN, bool():
            return value
        case Shape.ARRAY, list():
            return _read_array(page, value, path, key)
        case Shape.TABLE, dict():
            return _read_texts(page, value, path, key)
    page.complain(
        page.value(path),
        f"`{key.name}` should be {key.shape.value}, and is {_kind(value)}",
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
            is_one = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)
            return f'write {key.name} = "{value[0] if is_one else key.form.example}"'  # type: ignore[index]


def _read_text(page: Page, value: str, path: KeyPath, key: Key) -> str | None:
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
                page.value(place), f"`{_told(path)}` should have strings in it, and has {_kind(value)}",
                help=f"write it in quotes: {_quoted(page, place)}" if not isinstance(value, list | dict) else None,
            )  # fmt: skip
        elif value in found:
            page.complain(page.value(place), f"`{value}` stands twice in `{_told(path)}`", help="remove one")
        elif _read_text(page, value, place, key) is not None:
            found.append(value)
    return tuple(found) or None


def _read_texts(page: Page, table: _DOCUMENT, path: KeyPath, key: Key) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        place = (*path, name)
        if wrong := key.names and find_wrong(key.names, name, "this key"):
            page.complain(page.key(place), wrong.message, help=wrong.help)
        elif not isinstance(value, str):
            page.complain(
                page.value(place), f"`{_told(place)}` should be a string, and is {_kind(value)}",
                help=_about_entry(page, name, value, place),
            )  # fmt: skip
        elif (text := _read_text(page, value, place, key)) is not None:
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


def _kind(value: object) -> str:
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


def _declare(project: Mapping[str, Value], variants: Mapping[str, Mapping[str, Value]]) -> Declaration:
    """Return what was read as a declaration, the variants with what they have from the project."""
    return Declaration(
        variants=tuple(_declare_variant(name, own, project) for name, own in variants.items()),
        dockerfiles=(_text(project, "dockerfile") or DOCKERFILE,),
        context=_text(project, "context") or CONTEXT,
        args=_texts(project, "args"),
        contexts=_texts(project, "contexts"),
        platforms=_list(project, "platforms"),
        build_platform=_text(project, "build-platform"),
        push=_text(project, "push"),
        output=_text(project, "output"),
        cache=_text(project, "cache"),
        tags=_list(project, "tags"),
        default=_text(project, "default"),
        latest=_text(project, "latest"),
    )


def _declare_variant(name: str, own: Mapping[str, Value], project: Mapping[str, Value]) -> VariantDeclaration:
    last_stage = "dockerfile" in own
    return VariantDeclaration(
        name=name,
        dockerfile=_text(own, "dockerfile") or _text(project, "dockerfile") or DOCKERFILE,
        context=_text(own, "context") or _text(project, "context") or CONTEXT,
        target=_text(own, "target") or _text(project, "target") or (None if last_stage else name),
        args={**_texts(project, "args"), **_texts(own, "args")},
        contexts={**_texts(project, "contexts"), **_texts(own, "contexts")},
        platforms=_list(own, "platforms"),
        tags=_list(own, "tags"),
        push=_text(own, "push"),
        checks_fit=own.get("fit-check", True) is True,
    )


def _text(values: Mapping[str, Value], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None


def _list(values: Mapping[str, Value], name: str) -> tuple[str, ...]:
    value = values.get(name)
    return value if isinstance(value, tuple) else ()


def _texts(values: Mapping[str, Value], name: str) -> Mapping[str, str]:
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


def _origins(page: Page, project: Mapping[str, Value], variants: Mapping[str, Mapping[str, Value]]) -> dict[Names, str]:
    """Return where each value stands, what a variant has from the project where the project says it."""
    origins = {path: page.origin(path) for path in _paths((), project)}
    inherited = {path: origins[path] for path in origins if path[0] in INHERITED}
    for name, own in variants.items():
        table = (VARIANTS, name)
        origins[table] = page.origin(table)
        origins |= {(*table, *path): origin for path, origin in inherited.items()}
        origins |= {path: page.origin(path) for path in _paths(table, own)}
        if "dockerfile" in own and "target" not in own and "target" not in project:
            continue
        origins.setdefault((*table, "target"), page.origin(table))
    return origins


def _paths(table: Names, values: Mapping[str, Value]) -> Iterator[Names]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from ((*table, key, name) for name in value)
        else:
            yield (*table, key)

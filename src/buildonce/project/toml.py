"""buildonce.toml, read: text in, declaration out, with where each value stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct, field

from buildonce.dockerfile.syntax import Place
from buildonce.project.build_settings import Value, lay_over, settings_of
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.forms import VARIANT_NAME, find_wrong
from buildonce.project.keys import (
    CONTEXT,
    DOCKERFILE,
    FILE_NAME,
    GIVEN,
    INHERITED,
    PROJECT_KEYS,
    TABLES,
    VARIANT_KEYS,
    VARIANTS,
)
from buildonce.project.links import find_linked
from buildonce.project.problems import Page
from buildonce.project.sense import check_sense
from buildonce.project.toml_places import find_double, index_places, scan_places
from buildonce.project.toml_values import Document, kind_of, read_given, read_table

Names = tuple[str, ...]

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
    project = read_table(page, document, (), PROJECT_KEYS, also=TABLES)
    variants = _read_variants(page, document)
    given = read_given(page, document)
    declaration = _declare(project, variants, given)
    check_sense(page, declaration, project)
    page.close()
    origins = _origins(page, project, variants)
    for stage in given:
        origins[GIVEN, stage] = page.origin((GIVEN, stage))
    return Configuration(file=path, declaration=declaration, origins=MappingProxyType(origins))


def _parse(text: str, path: str) -> tuple[Document, Page]:
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


def _read_variants(page: Page, document: Document) -> Mapping[str, Mapping[str, Value]]:
    if VARIANTS not in document:
        return {}
    table = document[VARIANTS]
    if not isinstance(table, dict):
        page.complain(
            page.value((VARIANTS,)), f"`variants` should be a table, and is {kind_of(table)}",
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
            found[name] = read_table(page, keys, path, VARIANT_KEYS)
        else:
            is_project_key = name in PROJECT_KEYS or name in VARIANT_KEYS
            page.complain(
                page.value(path), f"the variant `{name}` should be a table, and is {kind_of(keys)}",
                help=f"is `{name}` a key of the project? Put it above the first [table]" if is_project_key
                else f"write [variants.{name}]",
            )  # fmt: skip
    return found


def _declare(
    project: Mapping[str, Value],
    variants: Mapping[str, Mapping[str, Value]],
    given: Mapping[str, Mapping[str, str]],
) -> Declaration:
    """Return what was read as a declaration, the variants with what they have from the project."""
    declared = {name: _declare_variant(name, own, project) for name, own in variants.items()}
    return Declaration(
        variants=tuple(declared.values()),
        linked=find_linked(tuple(declared.values()), declared),
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
        engine=_text(project, "engine"),
        given=given,
        build=settings_of(project),
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
        build=lay_over(settings_of(_without_flags(project, own)), settings_of(own)),
    )


def _without_flags(project: Mapping[str, Value], own: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return what the project says, without what a variant says no to."""
    return {name: value for name, value in project.items() if own.get(name) is not False}


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

"""A declaration, written as a buildonce.toml that a person can go on with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from buildonce.project.build_settings import BuildSettings, Value, settings_of
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.keys import CONTEXT, DOCKERFILE, GIVEN, VARIANTS
from buildonce.project.listing import dotted


def gather_common(declaration: Declaration) -> Declaration:
    """Return the declaration with what all variants have said of the project: the same images, in fewer words.

    Dockerfile and context are those of most variants, arguments and named contexts those that all have alike.
    """
    variants = declaration.variants
    if not variants:
        return replace(declaration, dockerfiles=declaration.dockerfiles or (DOCKERFILE,))
    same = {
        key: values
        for key in ("platforms", "tags", "push")
        if (values := getattr(variants[0], key))
        and not getattr(declaration, "output" if key == "push" and declaration.output else key)
        and all(getattr(one, key) == values for one in variants)
    }
    emptied = {key: None if key == "push" else () for key in same}
    return replace(
        declaration,
        **same,
        dockerfiles=(_most(one.dockerfile for one in variants),),
        context=_most(one.context for one in variants),
        args=_shared([one.args for one in variants]),
        contexts=_shared([one.contexts for one in variants]),
        build=_shared_build([one.build for one in variants]),
        variants=tuple(replace(one, **emptied) for one in variants),
    )


def _most(texts: Iterator[str]) -> str:
    return Counter(texts).most_common(1)[0][0]


def _shared(tables: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    return {name: value for name, value in tables[0].items() if all(one.get(name) == value for one in tables)}


def _shared_build(builds: Sequence[BuildSettings]) -> BuildSettings:
    """Return what all variants say alike: lists as wholes, tables name by name."""
    said = [build.values() for build in builds]
    found: dict[str, Value] = {}
    for key, value in said[0].items():
        if isinstance(value, Mapping):
            tables = [one for values in said if isinstance(one := values.get(key, {}), Mapping)]
            found[key] = _shared(tables)
        elif all(values.get(key) == value for values in said):
            found[key] = value
    return settings_of({key: value for key, value in found.items() if value})


def render_toml(declaration: Declaration) -> str:
    """Return the declaration as a commented buildonce.toml, which reads back as an equal declaration.

    It can say only what such a file can: that its names have their forms, and that arguments of the project are
    arguments of every variant, `read_toml` finds out.
    """
    blocks = [
        ["# What buildonce builds, and where it goes. `buildonce config --show-origin` says what counts."],
        list(_project(declaration)),
        *(list(_table((key,), values)) for key, values in _tables(declaration).items()),
        list(_given(declaration.given)),
        *(list(_variant(variant, declaration)) for variant in declaration.variants),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _project(declaration: Declaration) -> Iterator[str]:
    if declaration.dockerfiles and declaration.dockerfiles[0] != DOCKERFILE:
        yield _line("dockerfile", declaration.dockerfiles[0])
    if declaration.context != CONTEXT:
        yield _line("context", declaration.context)
    yield from _said("platforms", declaration.platforms, 'platforms = ["linux/amd64", "linux/arm64"]')
    yield from _said("build-platform", declaration.build_platform)
    if declaration.output:
        yield _line("output", declaration.output)
    else:
        own = any(variant.push for variant in declaration.variants)
        yield from _said("push", declaration.push, "" if own else 'push = "registry.example/acme/app"')
    yield from _said("cache", declaration.cache)
    yield from _said("tags", declaration.tags, 'tags = ["{version}-{variant}"]')
    first = declaration.variants[0].name if declaration.variants else "NAME"
    yield from _said(
        "default", declaration.default, f"{_line('default', first)}  # also gets the tags without its name"
    )
    yield from _said("engine", declaration.engine)
    yield from _said("latest", declaration.latest, 'latest = "release"  # or "branch main": when `latest` is moved')
    for key, value in _flags(declaration).items():
        yield _line(key, value)


def _said(key: str, value: str | tuple[str, ...] | None, example: str = "") -> Iterator[str]:
    """Give the line of a key; where nothing is said, an example of it as a comment."""
    if value:
        yield _line(key, value)
    elif example:
        yield f"# {example}"


def _tables(owner: Declaration | VariantDeclaration) -> Mapping[str, Mapping[str, str]]:
    """Return what has a table of its own."""
    build = {key: value for key, value in owner.build.values().items() if isinstance(value, Mapping)}
    return {"args": owner.args, "contexts": owner.contexts, **build}


def _flags(owner: Declaration | VariantDeclaration) -> Mapping[str, str | bool | tuple[str, ...]]:
    """Return what the build is told in a line each."""
    return {key: value for key, value in owner.build.values().items() if not isinstance(value, Mapping)}


def _table(path: tuple[str, ...], values: Mapping[str, str]) -> Iterator[str]:
    if values:
        yield f"[{dotted(path)}]"
        for name, value in values.items():
            yield _line(name, value)


def _given(given: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    if given:
        yield f"[{GIVEN}]"
    for stage, files in given.items():
        if set(files) == {"/"}:
            yield _line(stage, files["/"])
        else:
            yield from (f"{dotted((stage, place))} = {_quoted(path)}" for place, path in files.items())


def _variant(variant: VariantDeclaration, declaration: Declaration) -> Iterator[str]:
    table = (VARIANTS, variant.name)
    yield f"[{dotted(table)}]"
    has_file = variant.target is None or (variant.dockerfile,) != (declaration.dockerfiles or (DOCKERFILE,))
    if has_file:
        yield _line("dockerfile", variant.dockerfile)
    if variant.context != declaration.context:
        yield _line("context", variant.context)
    if variant.target is not None and (has_file or variant.target != variant.name):
        yield _line("target", variant.target)
    yield from _said("platforms", variant.platforms)
    yield from _said("push", variant.push)
    yield from _said("tags", variant.tags)
    if not variant.checks_fit:
        yield "fit-check = false"
    said = _flags(declaration)
    for key, value in _flags(variant).items():
        if said.get(key) != value:
            yield _line(key, value)
    above = _tables(declaration)
    for key, values in _tables(variant).items():
        for name, text in values.items():
            if above.get(key, {}).get(name) != text:
                yield f"{dotted((key, name))} = {_quoted(text)}"


def _line(key: str, value: str | bool | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = _quoted(value) if isinstance(value, str) else f"[{', '.join(map(_quoted, value))}]"
    return f"{dotted((key,))} = {text}"


def _quoted(text: str) -> str:
    """Return a basic string; JSON escapes as TOML does, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

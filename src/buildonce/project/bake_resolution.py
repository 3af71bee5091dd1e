"""Bake files resolved as ``docker buildx bake --print`` resolves them: variables, matrices, groups, inheritance.

The rules are those of docker/buildx (bake/bake.go, bake/hclparser). Only what the wanted targets need is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from msgspec import Struct

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import UsageError
from buildonce.project.bake_keys import APPENDED, EXPRESSED, MERGED, NOT_YET, PASSED_OVER, RESOLVED_ONLY
from buildonce.project.bake_templates import fill
from buildonce.project.bake_variables import Variables
from buildonce.project.findings import Budget, Findings, TooMuch
from buildonce.project.hcl_evaluation import Inner, Scope
from buildonce.project.hcl_values import as_text
from buildonce.project.links import linked_name, unknown_link
from buildonce.project.values import Value, kind

DEFAULT = "default"

_BLOCKS = ("variable", "group", "target", "function")
_NAME = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_TEXTS = ("context", "dockerfile", "dockerfile-inline", "target", "network", "shm-size", "call")
_LISTS = ("tags", "platforms")
_USUAL: Mapping[str, Value] = {"context": ".", "dockerfile": "Dockerfile"}
_MOST_TARGETS = 4096
_LONGEST_CHAIN = 64

Body = Mapping[str, Value]


class Resolved(Struct, frozen=True):
    """What bake builds: the targets that were asked for, by name; and those that their `contexts` lead to.

    A target has its keys as bake's ``--print`` has them, with nothing left to fill in or to inherit.
    """

    wanted: tuple[str, ...]
    targets: Mapping[str, Body]


class _Block(Struct, frozen=True):
    """A target as it is written once, with the values of its matrix."""

    body: Body
    scope: Body


def resolve_bake(
    documents: Sequence[Value], wanted: Sequence[str], environment: Mapping[str, str], *, path: str
) -> Resolved:
    """Return the wanted groups and targets (none: ``default``) of these documents, of which a later one wins.

    ``path`` is what messages call them. Raises `ConfigurationError` with all that is wrong.
    """
    findings = Findings(path)
    try:
        resolution = _Resolution(documents, environment, findings)
        findings.close()
        names = resolution.expand(tuple(name.replace(".", "_") for name in wanted) or (DEFAULT,))
        findings.close()
        targets = resolution.resolve(names)
    except RecursionError as error:
        raise TooMuch(f"variables and values in {path} nest too deep") from error
    findings.close()
    return Resolved(wanted=names, targets=targets)


class _Resolution:
    """The blocks of bake files, by what they are called."""

    def __init__(self, documents: Sequence[Value], environment: Mapping[str, str], findings: Findings) -> None:
        self._findings = findings
        self._budget = Budget("the bake file")
        self._groups: dict[str, Body] = {}
        self._blocks: dict[str, list[_Block]] = {}
        self._labels: dict[str, dict[str, None]] = {}
        self._expanded: set[str] = set()
        self._done: dict[str, Body] = {}
        declared: dict[str, Body] = {}
        assigned: dict[str, Value] = {}
        functions: dict[str, Body] = {}
        tops = [top for document in documents for top in self._bodies((), document)]
        for top in tops:
            declared |= dict(self._labelled(top, "variable"))
            self._groups |= dict(self._labelled(top, "group"))
            assigned |= {key: value for key, value in top.items() if key not in _BLOCKS and key != "//"}
            functions |= dict(self._labelled(top, "function"))
        self._variables = Variables(declared, assigned, environment, self._budget, functions)
        for top in tops:
            for label, body in self._labelled(top, "target"):
                with findings.at(("target", label)):
                    self._add_target(label, body)

    def expand(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return the targets of these groups and targets, each once."""
        found: dict[str, None] = {}
        for name in wanted:
            self._expand(name, (), found)
        return tuple(found)

    def resolve(self, names: Sequence[str]) -> Mapping[str, Body]:
        """Return these targets, and those that they are linked with, as they are built."""
        waiting, targets = list(names), dict[str, Body]()
        while waiting:
            name = waiting.pop(0)
            if name in targets:
                continue
            with self._findings.at(("target", name)):
                target = self._inherited(name, ())
                named = {key: target.get(key) or usual for key, usual in _USUAL.items()}
                targets[name] = {**target, **named}
                waiting += self._linked(name, targets[name])
        return targets

    def _linked(self, name: str, target: Body) -> Iterator[str]:
        """Yield the targets whose results are contexts of a target."""
        contexts = target.get("contexts")
        for context, value in contexts.items() if isinstance(contexts, Mapping) else ():
            linked = linked_name(value) if isinstance(value, str) else None
            if linked in self._blocks:
                yield linked
            elif linked is not None:
                place = ("target", name, "contexts", context)
                self._findings.add(place, *unknown_link(context, linked, self._blocks, what="target"))

    def _bodies(self, place: tuple[str, ...], value: Value) -> Iterator[Body]:
        """Yield the bodies at a place: HCL's JSON has one, or several in a list."""
        match value:
            case None:
                pass
            case Mapping():
                yield value
            case Sequence() if not isinstance(value, str) and all(isinstance(one, Mapping) for one in value):
                yield from (one for one in value if isinstance(one, Mapping))
            case _:
                self._findings.add(place, f"{kind(value)} stands where a mapping is needed")

    def _labelled(self, top: Body, block: str) -> Iterator[tuple[str, Body]]:
        for labels in self._bodies((block,), top.get(block)):
            for label, value in labels.items():
                if label != "//":
                    yield from ((label, body) for body in self._bodies((block, label), value))

    def _add_target(self, label: str, body: Body) -> None:
        _check_name(label)
        known = (*EXPRESSED, *PASSED_OVER, *NOT_YET, *RESOLVED_ONLY, "//")
        for key in body:
            if key not in known:
                self._findings.add(("target", label, key), f"a target has no `{key}`", did_you_mean(key, known[:-1]))
        named: set[str] = set()
        for name, scope in self._names(label, body):
            if name in named:
                raise UsageError(
                    f"two of its targets are called `{name}`", help="put every key of `matrix` into `name`"
                )
            named.add(name)
            self._blocks.setdefault(name, []).append(_Block(body, scope))
            self._labels.setdefault(label, {})[name] = None
            if len(self._blocks) > _MOST_TARGETS:
                raise TooMuch(f"the bake file has more than {_MOST_TARGETS} targets")

    def _names(self, label: str, body: Body) -> Iterator[tuple[str, Body]]:
        """Yield the names of the targets that a block stands for, with the values of its matrix."""
        if "matrix" not in body:
            if "name" in body:
                raise UsageError("it has a `name`, which only a target with a `matrix` has")
            yield label, {}
            return
        matrix = fill(body["matrix"], self._variables, self._budget)
        if not isinstance(matrix, Mapping):
            raise UsageError("its `matrix` is no mapping")
        for values in product(*(_axis(key, axis) for key, axis in matrix.items())):
            scope = dict(zip(matrix, values, strict=True))
            name = as_text(fill(body.get("name", label), self._in(scope), self._budget))
            _check_name(name)
            yield name, scope

    def _in(self, scope: Body) -> Scope:
        return Inner(scope, self._variables)

    def _expand(self, name: str, inside: tuple[str, ...], found: dict[str, None]) -> None:
        if name in self._expanded:
            return
        members = None if name in inside and name in self._blocks else self._members(name)
        if members is None:
            if name in self._blocks:
                found[name] = None
            else:
                self._findings.add(("group", inside[-1]) if inside else (), *self._missing(name))
        elif name in inside:
            self._findings.add(("group", name), "the group is one of its own members", "take it out of its `targets`")
        elif len(inside) >= _LONGEST_CHAIN:
            raise TooMuch(f"groups are in groups in more than {_LONGEST_CHAIN} steps")
        else:
            for member in members:
                self._expand(member, (*inside, name), found)
            self._expanded.add(name)

    def _members(self, name: str) -> Sequence[str] | None:
        """Return what a group has; a target with a matrix is the group of its targets. None for no group."""
        if name in self._groups:
            return self._group(name)
        names = tuple(self._labels.get(name, ()))
        return names if names and names != (name,) else None

    def _group(self, name: str) -> Sequence[str]:
        found: list[str] = []
        with self._findings.at(("group", name, "targets")):
            found += _texts(fill(self._groups[name].get("targets"), self._variables, self._budget)) or ()
        return found

    def _inherited(self, name: str, inside: tuple[str, ...]) -> Body:
        if name in self._done:
            return self._done[name]
        if name in inside:
            raise UsageError(f"it inherits from itself: {' -> '.join((*inside, name))}")
        if len(inside) >= _LONGEST_CHAIN:
            raise TooMuch(f"targets inherit in more than {_LONGEST_CHAIN} steps")
        if name not in self._blocks:
            message, help_text = self._missing(name)
            raise UsageError(message, help=help_text)
        own: dict[str, Value] = {}
        for block in self._blocks[name]:
            own = merge(own, self._evaluate(name, block))
        merged: dict[str, Value] = {}
        for parent in _texts(own.pop("inherits", None)) or ():
            merged = merge(merged, self._inherited(parent, (*inside, name)))
        self._done[name] = _normalized(merge(merged, own))
        return self._done[name]

    def _evaluate(self, name: str, block: _Block) -> dict[str, Value]:
        """Return what a block says for each key that counts, in the type that bake gives it."""
        found: dict[str, Value] = {}
        for key, value in block.body.items():
            if key in EXPRESSED or key in NOT_YET or key == "inherits":
                with self._findings.at(("target", name, key)):
                    found[key] = _as_type(key, fill(value, self._in(block.scope), self._budget))
        return found

    def _missing(self, name: str) -> tuple[str, str | None]:
        known = [*self._groups, *self._blocks]
        listed = ", ".join(known[:20]) or "none"
        return f"there is no target or group `{name}`", did_you_mean(name, known) or f"there are: {listed}"


def merge(first: Mapping[str, Value], second: Mapping[str, Value]) -> dict[str, Value]:
    """Return a target's keys with those that override or extend them, as bake merges two targets."""
    merged = dict(first)
    for key, value in second.items():
        before = merged.get(key)
        if value is None:
            continue
        if key in MERGED and isinstance(value, Mapping):
            added = {name: one for name, one in value.items() if one is not None}
            merged[key] = {**before, **added} if isinstance(before, Mapping) else added
        elif key in (*APPENDED, "inherits") and isinstance(before, Sequence) and isinstance(value, Sequence):
            merged[key] = [*before, *value]
        else:
            merged[key] = value
    return merged


def _normalized(target: Body) -> Body:
    """Return a target without what says nothing, with each tag and platform once."""
    found = {key: value for key, value in target.items() if value is not None}
    for key in _LISTS:
        if key in found:
            found[key] = list(dict.fromkeys(_texts(found[key]) or ()))
    contexts = found.get("contexts")
    if isinstance(contexts, Mapping):
        found["contexts"] = {name: one for name, one in contexts.items() if one}
    return found


def _as_type(key: str, value: Value) -> Value:
    if value is None:
        return None
    if key in _TEXTS:
        return as_text(value)
    if key in (*_LISTS, "inherits"):
        return _texts(value)
    if key in MERGED:
        if not isinstance(value, Mapping):
            raise UsageError(f"{kind(value)} stands where a mapping is needed")
        return {name: None if one is None else as_text(one) for name, one in value.items()}
    return as_text(value) if isinstance(value, bool) else value


def _texts(value: Value) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise UsageError(f"{kind(value)} stands where a list is needed")
    return [as_text(one) for one in value]


def _axis(key: str, value: Value) -> Sequence[Value]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(f"`{key}` of its `matrix` is {kind(value)}, not a list")
    return value


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"`{name}` cannot be a target's name", help="a name has letters, digits, `_` and `-`")

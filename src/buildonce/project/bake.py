"""Variants from bake files: each target that is built is one.

What is read is the resolved form, which ``docker buildx bake --print`` prints and `resolve_bake` gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import UsageError
from buildonce.project.bake_keys import EXPRESSED, NOT_YET, PASSED_OVER, has_effect
from buildonce.project.bake_options import read_options
from buildonce.project.bake_resolution import DEFAULT, Body, Resolved
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.findings import Findings
from buildonce.project.json_documents import read_json
from buildonce.project.links import check_links, find_linked, linked_name, links_of
from buildonce.project.places import Destination, build_context, dockerfile_path, named_context, split_tags
from buildonce.project.soundness import check_variant
from buildonce.project.values import Value, kind

PRINTED = "what `docker buildx bake --print` prints"


def read_bake(printed: bytes, *, path: str = PRINTED, files: str = "") -> Declaration:
    """Return the variants of a resolved bake document; paths in it are relative to the project's folder.

    ``path`` is what messages call it. Raises `ConfigurationError` with everything in it that cannot be expressed.
    """
    return declare_bake(read_printed(printed, path=path), path=path, files=files)


def read_printed(printed: bytes, *, path: str = PRINTED) -> Resolved:
    """Return what ``docker buildx bake --print`` prints: its group ``default`` has what was asked for.

    Raises `ConfigurationError` for a document of another form.
    """
    document = read_json(printed, path)
    findings = Findings(path)
    top = _mapping(document, (), findings)
    groups = {
        name: _texts(_mapping(group, ("group", name), findings).get("targets"), ("group", name, "targets"), findings)
        for name, group in _mapping(top.get("group"), ("group",), findings).items()
    }
    targets = {
        name: _unescaped(_mapping(target, ("target", name), findings))
        for name, target in _mapping(top.get("target"), ("target",), findings).items()
    }
    findings.close()
    return Resolved(wanted=_members(groups), targets=targets)


def declare_bake(resolved: Resolved, *, path: str, files: str = "") -> Declaration:
    """Return the variants of resolved targets. Raises `ConfigurationError` with everything that cannot be expressed.

    ``files`` is what messages call the files where Dockerfiles are in them, if not ``path``.
    """
    findings = Findings(path)
    targets: dict[str, VariantDeclaration] = {}
    waiting = [name for name in resolved.wanted if name in resolved.targets]
    while waiting:
        name = waiting.pop(0)
        if name not in targets:
            targets[name] = _with_inline(_target(name, resolved, findings), resolved.targets[name], files or path)
            waiting += [one for one in links_of(targets[name]).values() if one in resolved.targets]
    for name, target in targets.items():
        place = ("target", name)
        checked = place if name in resolved.wanted else None
        check_variant(target, findings, name=checked, args=(*place, "args"), platforms=(*place, "platforms"))

    def complain(name: str, context: str, message: str, cure: str | None) -> None:
        findings.add(("target", name, "contexts", context), message, cure)

    check_links(targets, complain, what="target", names=resolved.targets)
    variants = tuple(targets[name] for name in resolved.wanted if name in targets)
    for name in resolved.wanted:
        if name not in resolved.targets:
            findings.add(("group",), f"there is no target `{name}`", did_you_mean(name, resolved.targets))
    findings.close()
    return Declaration(variants=variants, linked=find_linked(variants, targets))


def _target(name: str, resolved: Resolved, findings: Findings) -> VariantDeclaration:
    target, place = resolved.targets[name], ("target", name)
    _check_keys(target, place, findings)
    context, dockerfile, destination = ".", "Dockerfile", Destination()
    with findings.at((*place, "context")):
        context = build_context(_text(target, "context") or ".")
    with findings.at((*place, "dockerfile")):
        dockerfile = dockerfile_path(_text(target, "dockerfile") or "Dockerfile", context)
    if name in resolved.wanted:
        with findings.at((*place, "tags")):
            destination = split_tags(_texts(target.get("tags"), (*place, "tags"), findings))
    stage: str | None = None
    with findings.at((*place, "target")):
        stage = _text(target, "target") or None
    return VariantDeclaration(
        name=name,
        dockerfile=dockerfile,
        context=context,
        target=stage,
        args=_pairs(target.get("args"), (*place, "args"), findings),
        contexts=_contexts(target, place, findings),
        platforms=_texts(target.get("platforms"), (*place, "platforms"), findings),
        tags=destination.tags,
        push=destination.push,
        build=read_options(target, place, findings),
    )


def _with_inline(variant: VariantDeclaration, target: Body, files: str) -> VariantDeclaration:
    """Return the variant with the Dockerfile that its target has in it, if it has one: `dockerfile` counts no more."""
    text = target.get("dockerfile-inline")
    if not isinstance(text, str) or not text:
        return variant
    return replace(variant, inline=text, dockerfile=f"{files}, target.{variant.name}.dockerfile-inline")


def _check_keys(target: Body, place: tuple[str, ...], findings: Findings) -> None:
    for key, value in target.items():
        if key in NOT_YET and has_effect(key, value):
            findings.add((*place, key), f"`{key}` of a bake target cannot be expressed yet", NOT_YET[key])
        elif key not in (*EXPRESSED, *PASSED_OVER, *NOT_YET):
            findings.add(
                (*place, key),
                f"`{key}` of a bake target is not known, so what it does to the image is not either",
                did_you_mean(key, (*EXPRESSED, *PASSED_OVER, *NOT_YET)),
            )


def _contexts(target: Body, place: tuple[str, ...], findings: Findings) -> Mapping[str, str]:
    pairs = _pairs(target.get("contexts"), (*place, "contexts"), findings)
    return {name: value if linked_name(value) else named_context(value) for name, value in pairs.items()}


def _unescaped(target: Body) -> Body:
    """Return a target without the escapes with which bake prints some values (bake.go, `MarshalJSON`)."""
    plain = dict(target)
    args, inline = target.get("args"), target.get("dockerfile-inline")
    if isinstance(args, Mapping):
        plain["args"] = {name: _plain(value) if isinstance(value, str) else value for name, value in args.items()}
    if isinstance(inline, str):
        plain["dockerfile-inline"] = _plain(inline)
    return plain


def _plain(text: str) -> str:
    return text.replace("$${", "${").replace("%%{", "%{")


def _members(groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the targets of the group ``default``, through all groups in it."""
    found: dict[str, None] = {}
    waiting, opened = [DEFAULT], set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in groups and name not in opened:
            opened.add(name)
            waiting = [*groups[name], *waiting]
        else:
            found[name] = None
    return tuple(found)


def _mapping(value: Value, place: tuple[str, ...], findings: Findings) -> Body:
    if value is None or isinstance(value, Mapping):
        return value or {}
    findings.add(place, f"{kind(value)} stands where a mapping is needed")
    return {}


def _text(target: Body, key: str) -> str:
    value = target.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    raise UsageError(f"{kind(value)} stands where a text is needed")


def _texts(value: Value, place: tuple[str, ...], findings: Findings) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str):
        texts = tuple(one for one in value if isinstance(one, str))
        if len(texts) == len(value):
            return texts
    findings.add(place, f"{kind(value)} stands where a list of texts is needed")
    return ()


def _pairs(value: Value, place: tuple[str, ...], findings: Findings) -> Mapping[str, str]:
    pairs = _mapping(value, place, findings)
    found = {name: one for name, one in pairs.items() if isinstance(one, str)}
    for name, one in pairs.items():
        if one is not None and name not in found:
            findings.add((*place, name), f"{kind(one)} stands where a text is needed")
    return found

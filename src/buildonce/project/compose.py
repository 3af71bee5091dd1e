"""Variants from Compose files: each service with a `build` is one, whatever its profiles.

Read as compose-spec (build.md, interpolation.md) has it. A profile says when a service runs, not what its image is; and
variants can be chosen by name. Only what builds is looked at: a variable that has to be set for something else need not
be. `extends` and `include` bring in other services and files, and are errors.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from decimal import Decimal

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import ConfigurationError, UsageError
from buildonce.project.compose_interpolation import interpolate
from buildonce.project.compose_keys import EXPRESSED, NOT_YET, PASSED_OVER, has_effect
from buildonce.project.compose_options import read_options
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.findings import Budget, Findings, KeyPath
from buildonce.project.links import LINK, check_links, find_linked
from buildonce.project.places import Destination, build_context, dockerfile_path, named_context, split_tags
from buildonce.project.soundness import check_variant
from buildonce.project.values import Value, kind
from buildonce.project.yaml_documents import read_yaml

_LINKS = ("service:", "target:")
_PROJECT_NAME = "COMPOSE_PROJECT_NAME"
_BUILDS = ("build", "image", "extends", "platform")


def read_compose(text: bytes, *, path: str, environment: Mapping[str, str]) -> Declaration:
    """Return the variants of a Compose file; ``path`` is the file's as it is seen from the project's folder.

    ``environment`` has the variables that fill it in, those of the file .env among them. `image` and `tags` are where
    the variant goes; without them, the project decides. Raises `ConfigurationError` with everything that is wrong.
    """
    document = read_yaml(text, path)
    findings = Findings(path, document.lines)
    reading = _Reading(path, environment, findings)
    top = reading.mapping(document.value, ())
    if top.get("include"):
        findings.add(("include",), "`include` is not read", "name the files that build something instead of this one")
    reading.secrets = reading.mapping(top.get("secrets"), ("secrets",))
    services = reading.mapping(top.get("services"), ("services",))
    variants = [
        reading.variant(name, reading.mapping(service, ("services", name)))
        for name, service in services.items()
        if _is_built(name, reading.mapping(service, ("services", name)), findings)
    ]
    for variant in variants:
        place = ("services", variant.name)
        args, platforms = (*place, "build", "args"), (*place, "build", "platforms")
        check_variant(variant, findings, name=place, args=args, platforms=platforms)
    known = {variant.name: variant for variant in variants}

    def complain(name: str, context: str, message: str, cure: str | None) -> None:
        findings.add(("services", name, "build", "additional_contexts", context), message, cure)

    check_links(known, complain, what="service with a `build`")
    findings.close()
    if not variants:
        raise _nothing_built(path, services)
    return Declaration(variants=tuple(variants), linked=find_linked(variants, known))


def overrides_builds(text: bytes, *, path: str) -> bool:
    """Say whether an override file changes what the services of another one build. Raises `ConfigurationError`."""
    value = read_yaml(text, path).value
    services = value.get("services") if isinstance(value, Mapping) else None
    bodies = services.values() if isinstance(services, Mapping) else ()
    includes = isinstance(value, Mapping) and bool(value.get("include"))
    return includes or any(key in body for body in bodies if isinstance(body, Mapping) for key in _BUILDS)


class _Reading:
    """A Compose file, at ``path`` and in ``folder``, as it is read."""

    def __init__(self, path: str, environment: Mapping[str, str], findings: Findings) -> None:
        self.path = path
        self.folder = posixpath.dirname(path)
        self.secrets: Mapping[str, Value] = {}
        self._environment = environment
        self._findings = findings
        self._budget = Budget("the Compose file")

    def variant(self, name: str, service: Mapping[str, Value]) -> VariantDeclaration:
        """Return what a service builds; what is wrong is added to the findings."""
        place = ("services", name)
        build, at = self._build(service, place)
        self._check_keys(build, at)
        context, dockerfile, destination = ".", "Dockerfile", Destination()
        with self._findings.at((*at, "context")):
            context = build_context(self._text(build, "context", at) or ".", self.folder)
        with self._findings.at((*at, "dockerfile")):
            dockerfile = dockerfile_path(self._text(build, "dockerfile", at) or "Dockerfile", context)
        inline = self._text(build, "dockerfile_inline", at) or None
        if inline and build.get("dockerfile"):
            self._findings.add((*at, "dockerfile_inline"), "`dockerfile` names another one", "keep one of the two")
        tags = self.texts(build.get("tags"), (*at, "tags"))
        image = self._text(service, "image", place)
        with self._findings.at((*at, "tags") if tags else (*place, "image")):
            destination = split_tags([image, *tags] if image else tags)
        platform = self._text(service, "platform", place)
        return VariantDeclaration(
            name=name,
            dockerfile=f"{self.path}, {'.'.join(at)}.dockerfile_inline" if inline else dockerfile,
            inline=inline,
            context=context,
            target=self._text(build, "target", at) or None,
            args=self._args(build.get("args"), (*at, "args")),
            contexts=self._contexts(build.get("additional_contexts"), (*at, "additional_contexts")),
            platforms=self.texts(build.get("platforms"), (*at, "platforms")) or ((platform,) if platform else ()),
            tags=destination.tags,
            push=destination.push,
            build=read_options(build, at, self, self._findings),
        )

    def mapping(self, value: Value, place: KeyPath) -> Mapping[str, Value]:
        """Return a mapping, empty for null; add anything else to the findings."""
        if value is None or isinstance(value, Mapping):
            return value or {}
        self._findings.add(place, f"{kind(value)} stands where a mapping is needed")
        return {}

    def _build(self, service: Mapping[str, Value], place: KeyPath) -> tuple[Mapping[str, Value], KeyPath]:
        build = service.get("build")
        if isinstance(build, str):
            return {"context": build}, place
        return self.mapping(build, (*place, "build")), (*place, "build")

    def _check_keys(self, build: Mapping[str, Value], place: KeyPath) -> None:
        for key, value in build.items():
            if key in NOT_YET and has_effect(key, value):
                self._findings.add((*place, key), f"`{key}` of a service's build cannot be expressed yet", NOT_YET[key])
            elif key not in (*EXPRESSED, *PASSED_OVER, *NOT_YET) and not key.startswith("x-"):
                self._findings.add(
                    (*place, key),
                    f"a service's build has no `{key}`",
                    did_you_mean(key, (*EXPRESSED, *PASSED_OVER, *NOT_YET)),
                )

    def _args(self, value: Value, place: KeyPath) -> Mapping[str, str]:
        """Return build arguments; one without a value has the environment's, and is none if it is not set there."""
        found = {name: self._environment.get(name) if one is None else one for name, one in self.pairs(value, place)}
        return {name: one for name, one in found.items() if one is not None}

    def _contexts(self, value: Value, place: KeyPath) -> Mapping[str, str]:
        found = {}
        for name, one in self.pairs(value, place):
            if not one:
                self._findings.add((*place, name), f"the context `{name}` has no value", f"write {name}=./folder")
            elif one.startswith(_LINKS):
                found[name] = LINK + one.partition(":")[2]
            else:
                found[name] = named_context(one, self.folder)
        return found

    def pairs(self, value: Value, place: KeyPath) -> Sequence[tuple[str, str | None]]:
        """Return the pairs of a mapping, or of a list of ``name=value`` and ``name``, with variables put in."""
        if isinstance(value, Sequence) and not isinstance(value, str):
            parts = (one.partition("=") for one in self.texts(value, place))
            return [(name, one if equals else None) for name, equals, one in parts]
        pairs: list[tuple[str, str | None]] = []
        for name, one in self.mapping(value, place).items():
            with self._findings.at((*place, name)):
                pairs.append((name, None if one is None else self._fill(_scalar_text(one))))
        return pairs

    def text_of(self, value: Value) -> str:
        """Return a value as Compose turns it into a text. Raises `UsageError` for lists and mappings."""
        return self._fill(_scalar_text(value))

    def _text(self, mapping: Mapping[str, Value], key: str, place: KeyPath) -> str:
        found = [""]
        with self._findings.at((*place, key)):
            found.append(self._fill(_only_text(mapping.get(key) or "")))
        return found[-1]

    def texts(self, value: Value, place: KeyPath) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._findings.add(place, f"{kind(value)} stands where a list is needed")
            return ()
        found = []
        for number, one in enumerate(value):
            with self._findings.at((*place, str(number))):
                found.append(self._fill(_only_text(one)))
        return tuple(dict.fromkeys(found))

    def _fill(self, text: str) -> str:
        self._budget.spend(64 + len(text))
        if _PROJECT_NAME in text and _PROJECT_NAME not in self._environment:
            raise UsageError(f"`{_PROJECT_NAME}` is set by Compose alone", help="set it in the environment")
        return interpolate(text, self._environment, self._budget)


def _is_built(name: str, service: Mapping[str, Value], findings: Findings) -> bool:
    if service.get("extends"):
        findings.add(
            ("services", name, "extends"),
            f"`extends` is not read, so what the service `{name}` builds is not known",
            "write what it builds into the service itself; YAML's anchors can share it",
        )
        return False
    return bool(service.get("build"))


def _nothing_built(path: str, services: Mapping[str, Value]) -> ConfigurationError:
    keys = {key for service in services.values() if isinstance(service, Mapping) for key in service}
    near = did_you_mean("build", keys, "build` for `{}")
    return ConfigurationError(f"no service in {path} is built", help=near or "a service is built that has a `build`")


def _only_text(value: Value) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{kind(value)} stands where a text is needed", help="put it in quotes")
    return value


def _scalar_text(value: Value) -> str:
    """Return a value as Compose turns it into a text. Raises `UsageError` for lists and mappings."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return str(int(value))
        case float():
            return float_text(value)
        case _:
            raise UsageError(f"{kind(value)} stands where a text is needed")


def float_text(number: float) -> str:
    """Return a number as Go's ``strconv.FormatFloat(number, 'g', -1, 64)`` writes it: 3.0 is 3, 1e6 is 1e+06."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)  # noqa: S101  the number is finite
    text, point = "".join(map(str, digits)), len(digits) + exponent
    minus = "-" if sign else ""
    if not number:
        return f"{minus}0"
    if not -4 <= point - 1 < 6:
        mantissa = f"{text[0]}.{text[1:]}".rstrip(".")
        return f"{minus}{mantissa}e{point - 1:+03d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    whole, rest = text[:point].ljust(point, "0"), text[point:]
    return f"{minus}{whole}.{rest}".rstrip(".")

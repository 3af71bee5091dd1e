"""What a Compose service says of its build besides the Dockerfile (compose-spec, build.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from buildonce.build_options import is_inline, spell_fields, tidy_cache
from buildonce.project.build_settings import BuildSettings
from buildonce.project.build_settings import Value as Said
from buildonce.project.findings import Findings, KeyPath
from buildonce.project.places import join
from buildonce.project.soundness import check_settings
from buildonce.project.values import Value, kind

KEYS: Mapping[str, str] = {
    "labels": "labels",
    "network": "network",
    "extra_hosts": "extra-hosts",
    "ulimits": "ulimits",
    "shm_size": "shm-size",
    "entitlements": "allow",
    "secrets": "secrets",
    "ssh": "ssh",
    "cache_from": "cache-from",
    "cache_to": "cache-to",
    "no_cache": "no-cache",
}
"""The keys of buildonce.toml by those of a service's build."""


class Filling(Protocol):
    """What reads a Compose file's values with its variables put in."""

    @property
    def folder(self) -> str:
        """The folder that paths in the file are relative to, as it is seen from the project's."""
        ...

    @property
    def secrets(self) -> Mapping[str, Value]:
        """The secrets that the file has, by name."""
        ...

    def text_of(self, value: Value) -> str:
        """Return a value as a text. Raises `UsageError` for lists and mappings."""
        ...

    def pairs(self, value: Value, place: KeyPath) -> Sequence[tuple[str, str | None]]:
        """Return the pairs of a mapping, or of a list of ``name=value`` and ``name``."""
        ...

    def texts(self, value: Value, place: KeyPath) -> tuple[str, ...]:
        """Return a list's texts."""
        ...


def read_options(build: Mapping[str, Value], place: KeyPath, reading: Filling, findings: Findings) -> BuildSettings:
    """Return what a service's build says; what is not well formed is added to the findings."""
    found: dict[str, Said] = {}
    for key, name in KEYS.items():
        value, at = build.get(key), (*place, key)
        if value in (None, "", [], (), {}, False, "false"):
            continue
        with findings.at(at):
            said = _read(key, value, at, reading, findings)
            if said:
                found[name] = said
    return check_settings(found, {name: (*place, key) for key, name in KEYS.items()}, findings)


def _read(key: str, value: Value, at: KeyPath, reading: Filling, findings: Findings) -> Said | None:
    match key:
        case "network" | "shm_size":
            return reading.text_of(value)
        case "no_cache":
            return reading.text_of(value) == "true"
        case "labels":
            return {name: text or "" for name, text in reading.pairs(value, at)}
        case "extra_hosts":
            return _hosts(value, at, reading)
        case "ulimits":
            return _limits(value, at, reading, findings)
        case "secrets":
            return _secrets(value, at, reading, findings)
        case "ssh":
            pairs = reading.pairs(value, at)
            return tuple(name if text is None else f"{name}={join(reading.folder, text)}" for name, text in pairs)
        case "cache_from" | "cache_to":
            return tuple(tidy_cache(text) for text in reading.texts(value, at) if not is_inline(text))
        case _:
            return reading.texts(value, at)


def _hosts(value: Value, at: KeyPath, reading: Filling) -> Mapping[str, str]:
    """Return addresses by name: of a mapping, or of a list of ``name=address`` and ``name:address``."""
    if isinstance(value, Mapping):
        lists = {name: one for name, one in value.items() if isinstance(one, Sequence) and not isinstance(one, str)}
        single = {name: one for name, one in value.items() if name not in lists}
        joined = {name: ",".join(reading.texts(one, (*at, name))) for name, one in lists.items()}
        return {**{name: text or "" for name, text in reading.pairs(single, at)}, **joined}
    found: dict[str, str] = {}
    for text in reading.texts(value, at):
        name, _, address = text.partition("=" if "=" in text else ":")
        found[name] = f"{found[name]},{address}" if name in found else address
    return found


def _limits(value: Value, at: KeyPath, reading: Filling, findings: Findings) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        findings.add(at, f"{kind(value)} stands where a mapping is needed")
        return {}
    found: dict[str, str] = {}
    for name, limit in value.items():
        if isinstance(limit, Mapping):
            parts = [reading.text_of(limit[end]) for end in ("soft", "hard") if end in limit]
            found[name] = ":".join(parts)
        else:
            found[name] = reading.text_of(limit)
    return found


def _secrets(value: Value, at: KeyPath, reading: Filling, findings: Findings) -> tuple[str, ...]:
    """Return the secrets that a build takes; where one is, the file's own `secrets` say."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        findings.add(at, f"{kind(value)} stands where a list is needed")
        return ()
    found: list[str] = []
    for number, one in enumerate(value):
        name = one.get("source") if isinstance(one, Mapping) else one
        target = one.get("target") if isinstance(one, Mapping) else None
        text = reading.text_of(name)
        body = reading.secrets.get(text)
        fields = {"id": reading.text_of(target) if target else text}
        if not isinstance(body, Mapping):
            findings.add((*at, str(number)), f"there is no secret `{text}` in this file", "write it under `secrets`")
        elif body.get("file"):
            found.append(spell_fields({**fields, "src": join(reading.folder, reading.text_of(body["file"]))}, "id"))
        elif body.get("environment"):
            found.append(spell_fields({**fields, "env": reading.text_of(body["environment"])}, "id"))
        else:
            findings.add((*at, str(number)), f"the secret `{text}` is no file and no variable")
    return tuple(found)

"""What a bake target says of its build besides the Dockerfile: labels, secrets, networks, the engine's own caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buildonce.build_options import is_inline, spell_fields, tidy_cache, tidy_secret
from buildonce.project.build_settings import BuildSettings
from buildonce.project.build_settings import Value as Said
from buildonce.project.findings import Findings, KeyPath
from buildonce.project.soundness import check_settings
from buildonce.project.values import Value, kind

KEYS: Mapping[str, str] = {
    "labels": "labels",
    "annotations": "annotations",
    "network": "network",
    "extra-hosts": "extra-hosts",
    "ulimits": "ulimits",
    "shm-size": "shm-size",
    "entitlements": "allow",
    "secret": "secrets",
    "ssh": "ssh",
    "cache-from": "cache-from",
    "cache-to": "cache-to",
    "no-cache": "no-cache",
    "no-cache-filter": "no-cache-filter",
}
"""The keys of buildonce.toml by those of a bake target."""

_PAIRED = ("annotations", "ulimits")
"""Lists of ``name=value`` that are tables here."""


def read_options(target: Mapping[str, Value], place: KeyPath, findings: Findings) -> BuildSettings:
    """Return what a target says; what is not well formed is added to the findings."""
    found: dict[str, Said] = {}
    for key, name in KEYS.items():
        value = target.get(key)
        if value not in (None, "", [], (), {}, False, "false"):
            said = _read(key, value, (*place, key), findings)
            if said:
                found[name] = said
    return check_settings(found, {name: (*place, key) for key, name in KEYS.items()}, findings)


def _read(key: str, value: Value, place: KeyPath, findings: Findings) -> Said | None:
    match key, value:
        case (("network" | "shm-size"), str()):
            return value
        case "no-cache", (bool() | str()):
            return value in (True, "true")
        case (("labels" | "extra-hosts"), Mapping()):
            return _texts_by_name(value, place, findings)
        case (("secret" | "ssh" | "cache-from" | "cache-to"), Sequence()) if not isinstance(value, str):
            texts = tuple(_field_text(key, one, place, findings) for one in value)
            return tuple(dict.fromkeys(text for text in texts if text))
        case _, Sequence() if not isinstance(value, str) and all(isinstance(one, str) for one in value):
            texts = tuple(one for one in value if isinstance(one, str))
            return _paired(texts) if key in _PAIRED else tuple(dict.fromkeys(texts))
    findings.add(place, f"{kind(value)} stands where something else is needed")
    return None


def _paired(texts: Sequence[str]) -> Mapping[str, str]:
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _texts_by_name(values: Mapping[str, Value], place: KeyPath, findings: Findings) -> Mapping[str, str]:
    found = {name: value for name, value in values.items() if isinstance(value, str)}
    for name, value in values.items():
        if value is not None and name not in found:
            findings.add((*place, name), f"{kind(value)} stands where a text is needed")
    return found


def _field_text(key: str, value: Value, place: KeyPath, findings: Findings) -> str:
    """Return a secret, an SSH agent or a cache as its option has it, from a text or from its fields."""
    if isinstance(value, Mapping):
        fields = {name: one for name, one in value.items() if isinstance(one, str) and one}
        if key == "ssh":
            paths = value.get("paths")
            listed = [one for one in paths if isinstance(one, str)] if isinstance(paths, Sequence) else []
            text = "=".join((fields.get("id", ""), *([",".join(listed)] if listed else [])))
        else:
            text = spell_fields(fields, "id" if key == "secret" else "type")
    elif isinstance(value, str):
        text = value
    else:
        findings.add(place, f"{kind(value)} stands where a text is needed")
        return ""
    if key == "ssh":
        return text
    found = [""]
    with findings.at(place):
        found.append(tidy_secret(text) if key == "secret" else ("" if is_inline(text) else tidy_cache(text)))
    return found[-1]

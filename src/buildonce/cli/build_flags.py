"""The options for what a build is told besides its Dockerfile, read as the configuration has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from buildonce.build_options import parse_secret
from buildonce.cli.options import Asked, split_commas
from buildonce.engines.handing import scope_caches
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.project.build_settings import BuildSettings, Value, settings_of
from buildonce.project.forms import Form, find_wrong
from buildonce.project.keys import PROJECT_KEYS
from buildonce.project.layers import FLAGS

_ANY = Platform(os="linux", architecture="amd64")


def build_settings(asked: Asked) -> BuildSettings:
    """Return what the options say. Raises `UsageError` for one that is not well formed."""
    values: dict[str, Value | None] = {
        "labels": _pairs("labels", asked.labels),
        "annotations": _pairs("annotations", asked.annotations),
        "network": asked.network,
        "extra-hosts": _hosts(asked.extra_hosts),
        "ulimits": _pairs("ulimits", asked.ulimits),
        "shm-size": asked.shm_size,
        "allow": split_commas(asked.allow),
        "secrets": asked.secrets,
        "ssh": asked.ssh,
        "cache-from": asked.cache_from,
        "cache-to": asked.cache_to,
        "no-cache": asked.no_cache,
        "no-cache-filter": split_commas(asked.no_cache_filter),
    }
    said = {key: value for key, value in values.items() if value}
    for key, value in said.items():
        _check(key, value)
    return settings_of(said)


def _pairs(key: str, texts: Sequence[str]) -> Mapping[str, str]:
    """Return pairs by name; a label without a value is empty, as Docker takes it."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or (not equals and key != "labels"):
            raise UsageError(f"`{FLAGS[key]} {text}` is no name and value", help=f"write it as {FLAGS[key]} NAME=VALUE")
        found[name] = value
    return found


def _hosts(texts: Sequence[str]) -> Mapping[str, str]:
    """Return addresses by name; Docker takes ``name:address`` and ``name=address``, and several for one name."""
    found: dict[str, str] = {}
    for text in texts:
        between = "=" if "=" in text else ":"
        name, _, address = text.partition(between)
        if not name or not address:
            raise UsageError(f"`--add-host {text}` is no name and address", help="write it as --add-host NAME=ADDRESS")
        found[name] = f"{found[name]},{address}" if name in found else address
    return found


def _check(key: str, value: Value) -> None:
    form, names = PROJECT_KEYS[key].form, PROJECT_KEYS[key].names
    if isinstance(value, Mapping):
        for name, text in value.items():
            _demand(names, name, key)
            _demand(form, text, key)
    elif isinstance(value, tuple | str):
        for text in (value,) if isinstance(value, str) else value:
            _demand(form, text, key)


def _demand(form: Form | None, text: str, key: str) -> None:
    if form and (wrong := find_wrong(form, text, f"the value of {FLAGS[key]}")):
        raise UsageError(f"{FLAGS[key]}: {wrong.message}", help=wrong.help)


def check_build(settings: Iterable[BuildSettings], environment: Mapping[str, str]) -> None:
    """Raise `UsageError` for what no engine could be told, and for annotations that have no place."""
    for one in settings:
        for text in one.options.secrets:
            parse_secret(text, environment)
        scope_caches(one.options, "any", _ANY)
        if one.annotations:  # what reads them takes a while to load
            from buildonce.ship.annotations import parse_annotation

            for key, value in one.annotations.items():
                parse_annotation(key, value)

"""What every variant has to be, whatever file declares it: the forms of its names, arguments and platforms."""

from __future__ import annotations

from collections.abc import Mapping

from buildonce.oci import parse_platform
from buildonce.project.build_settings import NAMES, BuildSettings, Value, settings_of
from buildonce.project.declaration import VariantDeclaration
from buildonce.project.findings import Findings, KeyPath
from buildonce.project.forms import ARGUMENT_NAME, VARIANT_NAME, Form, find_wrong
from buildonce.project.keys import PROJECT_KEYS


def check_variant(
    variant: VariantDeclaration, findings: Findings, *, name: KeyPath | None, args: KeyPath, platforms: KeyPath
) -> None:
    """Add what cannot be to the findings; ``name``, ``args`` and ``platforms`` are where these stand.

    Without ``name``, it is the name of no variant.
    """
    if name is not None:
        _check(VARIANT_NAME, variant.name, "the name", name, findings)
    for argument in variant.args:
        _check(ARGUMENT_NAME, argument, "the name of an argument", (*args, argument), findings)
    for platform in variant.platforms:
        with findings.at(platforms):
            parse_platform(platform)


def _check(form: Form, text: str, name: str, place: KeyPath, findings: Findings) -> None:
    if wrong := find_wrong(form, text, name):
        findings.add(place, wrong.message, wrong.help)


def check_settings(said: Mapping[str, Value], places: Mapping[str, KeyPath], findings: Findings) -> BuildSettings:
    """Return what is said, less what does not have its form, which is added to the findings at its place."""
    found = dict(said)
    for name in NAMES:
        key = PROJECT_KEYS[name]
        value = said.get(name, ())
        texts = value.values() if isinstance(value, Mapping) else (value,) if isinstance(value, str) else value
        wrong = [find_wrong(key.form, text, name) for text in (texts if not isinstance(texts, bool) else ())]
        if key.names and isinstance(value, Mapping):
            wrong += [find_wrong(key.names, text, name) for text in value]
        for one in wrong:
            if one:
                findings.add(places[name], one.message, one.help)
                found.pop(name, None)
    return settings_of(found)

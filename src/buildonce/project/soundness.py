"""What every variant has to be, whatever file declares it: the forms of its names, arguments and platforms."""

from __future__ import annotations

from buildonce.oci import parse_platform
from buildonce.project.declaration import VariantDeclaration
from buildonce.project.findings import Findings, KeyPath
from buildonce.project.forms import ARGUMENT_NAME, VARIANT_NAME, Form, find_wrong


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

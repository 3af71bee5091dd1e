"""A configuration in force, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from buildonce.project.listing import Setting
from buildonce.report.tables import printable
from buildonce.report.wire import ConfigurationDocument, ConfiguredValue


def render_configuration(settings: Sequence[Setting], *, shows_origin: bool) -> str:
    """Return a line for each value, in TOML; with ``shows_origin`` where it comes from, as a comment behind it."""
    lines = [_line(setting) for setting in settings]
    if shows_origin:
        width = max(map(len, lines), default=0)
        lines = [f"{line.ljust(width)}  # {setting.origin}" for line, setting in zip(lines, settings, strict=True)]
    return printable("\n".join(lines))


def _line(setting: Setting) -> str:
    match setting.value:
        case None:
            return f"# {setting.key} is {'secret' if setting.is_secret else 'the last stage'}"
        case bool(value):
            return f"{setting.key} = {'true' if value else 'false'}"
        case value:
            return f"{setting.key} = {json.dumps(value, ensure_ascii=False)}"


def configuration_document(file: str | None, settings: Sequence[Setting]) -> ConfigurationDocument:
    """Return the configuration as it is printed with ``--json``."""
    values = tuple(
        ConfiguredValue(key=one.key, value=one.value, origin=one.origin, secret=one.is_secret) for one in settings
    )
    return ConfigurationDocument(file=file, values=values)

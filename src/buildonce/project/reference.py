"""The reference of buildonce.toml, as a page: made from the keys that the reader knows."""

from __future__ import annotations

from collections.abc import Iterable

from buildonce.project.forms import GIVEN_STAGE
from buildonce.project.keys import FILE_NAME, GIVEN, GIVEN_FILES, PROJECT_KEYS, VARIANT_KEYS, Key, Shape
from buildonce.project.layers import FLAGS, VARIABLES


def render_reference() -> str:
    """Return the page, in Markdown."""
    lines = [
        f"# {FILE_NAME}",
        "",
        "What the keys are for, and examples: [Configuration](../configuration.md). For editors there is",
        "[a JSON Schema](project.schema.json). This page is made from the code.",
        "",
        "## The project's keys",
        "",
        "They stand above the first table. `args` and `contexts` may be tables of their own: `[args]`, `[contexts]`.",
        "",
        *_rows(PROJECT_KEYS.values(), with_layers=True),
        "",
        "## A variant's keys",
        "",
        "They stand in `[variants.NAME]`. What is not there, the project says; of `args` and `contexts` the variant",
        "has the project's and its own. The environment and the command line count for every variant.",
        "",
        *_rows(VARIANT_KEYS.values(), with_layers=False),
        "",
        "## What is given",
        "",
        f"`[given]` (`{FLAGS[GIVEN]}`) has the name of a stage and a folder on each line, such as",
        f'`{GIVEN_STAGE.example} = "{GIVEN_FILES.form.example}"`; or `[given.STAGE]` has files by their paths in it.',
        f"{GIVEN_FILES.meaning}.",
    ]
    return "\n".join(lines) + "\n"


def _rows(keys: Iterable[Key], *, with_layers: bool) -> list[str]:
    headings = ("Key", "Value", "Meaning", "Default", *(("Environment", "Option") if with_layers else ()))
    rows = [headings, tuple("---" for _ in headings)]
    for key in keys:
        layers = (_code(VARIABLES.get(key.name)), _code(FLAGS.get(key.name))) if with_layers else ()
        default = key.default if with_layers or key.name not in PROJECT_KEYS else "the project's"
        rows.append((f"`{key.name}`", _kind(key), key.meaning, default, *layers))
    return [f"| {' | '.join(row)} |" for row in rows]


def _kind(key: Key) -> str:
    if key.shape in (Shape.BOOLEAN, Shape.TABLE):
        return str(key.shape.value)
    example = f'"{key.form.example}"' if key.shape is Shape.STRING else f'["{key.form.example}"]'
    return f"{key.shape.value}, such as `{example}`"


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""

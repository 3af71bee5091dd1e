"""The JSON Schema of buildonce.toml, for editors: made from the same keys and forms as the reader uses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from buildonce.project.forms import GIVEN_STAGE, VARIANT_NAME, Form
from buildonce.project.keys import GIVEN, GIVEN_FILES, PROJECT_KEYS, VARIANT_KEYS, VARIANTS, Key, Shape
from buildonce.project.templates import LATEST

Schema = dict[str, Any]


def render_project_schema() -> str:
    """Return the schema (2020-12), indented."""
    variants = {
        "description": "The variants, by their names. Without it, every final stage of the Dockerfile is a variant.",
        "type": "object",
        "minProperties": 1,
        "propertyNames": {**_string(VARIANT_NAME), "not": {"const": LATEST}},
        "additionalProperties": _table(VARIANT_KEYS),
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "buildonce.toml",
        **_table(PROJECT_KEYS, {VARIANTS: variants, GIVEN: _given()}),
        "dependentRequired": {"target": [VARIANTS]},
        "not": {"required": ["output", "push"]},
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _given() -> Schema:
    files = _value(GIVEN_FILES)
    return {
        "description": files.pop("description"),
        "type": "object",
        "propertyNames": _string(GIVEN_STAGE),
        "additionalProperties": {"anyOf": [_string(GIVEN_FILES.form), {**files, "minProperties": 1}]},
    }


def _table(keys: Mapping[str, Key], others: Mapping[str, Schema] | None = None) -> Schema:
    properties = {name: _value(key) for name, key in keys.items()} | dict(others or {})
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(key: Key) -> Schema:
    said = {"description": f"{key.meaning}. Default: {key.default}."}
    match key.shape:
        case Shape.STRING:
            return {**said, **_string(key.form)}
        case Shape.BOOLEAN:
            return {**said, "type": "boolean"}
        case Shape.ARRAY:
            items = _string(key.form)
            if key.name == "tags":
                items["not"] = {"const": LATEST}
            return {**said, "type": "array", "items": items, "minItems": 1, "uniqueItems": True}
        case Shape.TABLE:
            names = {"propertyNames": _string(key.names)} if key.names else {}
            return {**said, "type": "object", "additionalProperties": _string(key.form), **names}


def _string(form: Form) -> Schema:
    return {"type": "string", "pattern": f"^{form.pattern}$", "maxLength": form.longest, "examples": [form.example]}

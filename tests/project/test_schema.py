"""The schema for editors and the reader agree."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildonce.dockerfile.stages import familiar_context_name
from buildonce.oci import parse_platform
from buildonce.project import forms
from buildonce.project.forms import Form
from buildonce.project.keys import GIVEN, PROJECT_KEYS, VARIANT_KEYS, VARIANTS
from buildonce.project.problems import ConfigurationProblem
from buildonce.project.reference import render_reference
from buildonce.project.schema import render_project_schema
from buildonce.project.templates import check_template, fill
from buildonce.project.toml import read_toml
from buildonce.reference import parse_reference, parse_repository
from tests.project.test_toml import FULL
from tests.project.test_toml_places import quoted
from tests.project.test_wrong_configurations import CASES

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads(render_project_schema())
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool}

CONTRADICTIONS = {
    "a cache where a variant goes",
    "a tag that two variants have",
    "a tag of a variant that another has",
    "a default that is no variant",
}
"""What is wrong only when several values are looked at together, which the schema cannot do."""


@pytest.mark.parametrize(
    ("name", "text"), [("project.schema.json", render_project_schema()), ("configuration.md", render_reference())]
)
def test_what_is_published_is_of_the_code(name: str, text: str) -> None:
    assert (ROOT / "docs/reference" / name).read_text() == text, "run scripts/schemas"


def test_every_key_is_in_the_schema() -> None:
    assert set(SCHEMA["properties"]) == {*PROJECT_KEYS, VARIANTS, GIVEN}
    assert set(SCHEMA["properties"][VARIANTS]["additionalProperties"]["properties"]) == set(VARIANT_KEYS)


few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def allows(schema: dict[str, Any], value: Any) -> bool:
    """Say whether a schema allows a value; of JSON Schema as much as this one uses."""
    known = {
        "$schema", "title", "description", "examples", "type", "pattern", "maxLength", "not", "const", "required",
        "items", "minItems", "uniqueItems", "properties", "additionalProperties", "propertyNames", "minProperties",
        "dependentRequired", "anyOf",
    }  # fmt: skip
    assert set(schema) <= known
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        return False
    if "anyOf" in schema and not any(allows(one, value) for one in schema["anyOf"]):
        return False
    if ("const" in schema and value != schema["const"]) or ("not" in schema and allows(schema["not"], value)):
        return False
    match value:
        case str():
            return len(value) <= schema.get("maxLength", len(value)) and bool(
                re.search(schema.get("pattern", ""), value)
            )
        case list():
            return len(value) >= schema.get("minItems", 0) and all(
                allows(schema["items"], one) and value.count(one) == 1 for one in value
            )
        case dict():
            return _allows_table(schema, value)
    return True


def _allows_table(schema: dict[str, Any], table: dict[str, Any]) -> bool:
    others = schema.get("additionalProperties", True)
    for name, value in table.items():
        inner = schema.get("properties", {}).get(name, others)
        if inner is False or not allows(schema.get("propertyNames", {}), name):
            return False
        if inner is not True and not allows(inner, value):
            return False
    needs = [one for name, ones in schema.get("dependentRequired", {}).items() if name in table for one in ones]
    return len(table) >= schema.get("minProperties", 0) and {*needs, *schema.get("required", ())} <= set(table)


def drawn(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what draws values that a schema allows."""
    if "anyOf" in schema:
        return st.one_of(*[drawn(one) for one in schema["anyOf"]])
    match schema.get("type"):
        case "boolean":
            found: st.SearchStrategy[Any] = st.booleans()
        case "string":
            # The end of the pattern also matches before a last line end, to Python alone.
            found = st.from_regex(schema["pattern"].removesuffix("$") + r"\Z") | st.sampled_from(schema["examples"])
        case "array":
            found = st.lists(drawn(schema["items"]), min_size=schema["minItems"], max_size=3, unique=True)
        case _:
            found = _drawn_table(schema)
    return found.filter(lambda value: allows(schema, value))


def _drawn_table(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    named = {name: drawn(one) for name, one in schema.get("properties", {}).items()}
    if named:
        return st.fixed_dictionaries({}, optional=named)
    size = schema.get("minProperties", 0)
    names = drawn({"type": "string", **schema["propertyNames"]})
    return st.dictionaries(names, drawn(schema["additionalProperties"]), min_size=size, max_size=2)


def written(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case list():
            return f"[{', '.join(map(written, value))}]"
        case _:
            return "{" + ", ".join(f"{quoted(name)} = {written(one)}" for name, one in value.items()) + "}"


def messages_about(text: str) -> list[str]:
    try:
        read_toml(text)
    except ConfigurationProblem as problem:
        return [one.message for one in problem.diagnostics]
    return []


def is_contradiction(message: str) -> bool:
    return re.search(r"would both be|could be the default", message) is not None


@few
@given(drawn(SCHEMA))
def test_what_the_schema_allows_is_read(document: dict[str, Any]) -> None:
    text = "\n".join(f"{name} = {written(value)}" for name, value in document.items())
    assert all(map(is_contradiction, messages_about(text))), text


def test_what_is_read_the_schema_allows() -> None:
    assert allows(SCHEMA, tomllib.loads(FULL))
    assert allows(SCHEMA, {})


@pytest.mark.parametrize("situation", CASES)
def test_what_is_not_read_the_schema_does_not_allow(situation: str) -> None:
    text, message = CASES[situation]
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert "this is not TOML" in message or "stands twice" in message
        return
    assert allows(SCHEMA, document) == (situation in CONTRADICTIONS)


def matching(form: Form) -> st.SearchStrategy[str]:
    return st.from_regex(form.pattern, fullmatch=True).filter(lambda text: len(text) <= form.longest)


@few
@given(matching(forms.PLATFORM))
def test_a_platform_can_be_parsed(text: str) -> None:
    parse_platform(text)


@few
@given(matching(forms.REPOSITORY), matching(forms.VARIANT_NAME))
def test_a_repository_can_be_parsed_for_every_variant(text: str, variant: str) -> None:
    filled = fill(text, variant=variant)
    if len(filled) < 240:
        parse_repository(filled)


@few
@given(matching(forms.STORE))
def test_a_cache_can_be_parsed(text: str) -> None:
    if not text.startswith("oci:"):
        parse_repository(text)


@few
@given(matching(forms.CONTEXT_NAME))
def test_a_named_context_has_the_name_of_an_image(text: str) -> None:
    parse_reference(text)
    assert familiar_context_name(text)


@few
@given(matching(forms.TEMPLATE))
def test_a_template_has_fields_that_there_are(text: str) -> None:
    check_template(text)


@pytest.mark.parametrize("name", [name for name, one in vars(forms).items() if isinstance(one, Form)])
def test_the_example_of_a_form_has_it(name: str) -> None:
    form: Form = getattr(forms, name)
    assert forms.find_wrong(form, form.example, "it") is None

"""Bake documents, resolved for tests, and what an error says."""

from __future__ import annotations

import json

from buildonce.errors import UsageError
from buildonce.project.bake import declare_bake
from buildonce.project.bake_resolution import resolve_bake
from buildonce.project.declaration import Declaration
from buildonce.project.json_documents import read_json
from tests.project.bake_documents import Json


def resolve(document: Json | str, *wanted: str, **environment: str) -> Declaration:
    """Return what our own resolution makes of a bake file."""
    text = document if isinstance(document, str) else json.dumps(document)
    value = read_json(text.encode(), "docker-bake.json")
    return declare_bake(resolve_bake([value], wanted, environment, path="docker-bake.json"), path="docker-bake.json")


def message(error: UsageError) -> str:
    return str(error)

"""Layers and history as a real BuildKit made them, kept as data: the rows of the COPY semantics."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from buildonce.assemble.config import apply_metadata
from buildonce.assemble.entries import Entry
from buildonce.assemble.image import LayerStep, MetadataStep
from buildonce.assemble.owners import Passwd
from buildonce.assemble.tree import Tree
from tests.assemble.archives import read_trees
from tests.assemble.replay import replay

_FOLDER = Path(__file__).parents[1] / "data" / "copy-goldens"
_CASES: list[dict[str, Any]] = json.loads((_FOLDER / "cases.json").read_text())["cases"]
_NOW = 7


@cache
def trees() -> tuple[Tree, Passwd, Tree]:
    base, passwd = read_trees(_FOLDER / "golden-base.tar")
    source, _ = read_trees(_FOLDER / "golden-src.tar")
    return base, passwd, source


@pytest.mark.parametrize("case", _CASES, ids=[case["id"] for case in _CASES])
def test_layers_are_those_of_buildkit(case: dict[str, Any], tmp_path: Path) -> None:
    base, passwd, source = trees()
    done = replay("\n".join(case["instructions"]), base, {"src": source}, passwd, tmp_path, epoch=_NOW)
    assert [[_row(entry) for entry in layer] for layer in done.layers] == case["layers"]
    history: list[dict[str, Any]] = []
    for step in done.steps:
        match step:
            case LayerStep():
                history.append({"created_by": step.created_by, "comment": step.comment})
            case MetadataStep():
                _, entry = apply_metadata({"config": {"WorkingDir": "/"}}, step.instruction)
                assert entry
                history.append({key: value for key, value in entry.to_json("").items() if key != "created"})
    assert history == case["history"]


def _row(entry: Entry) -> dict[str, Any]:
    link = entry.hardlink or entry.link
    return {
        "type": "1" if entry.hardlink else entry.type.value,
        "name": entry.path + ("/" if entry.is_directory else ""),
        "mode": oct(entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "mtime": "NOW" if entry.mtime == _NOW else entry.mtime,
    } | ({"link": link} if link else {})

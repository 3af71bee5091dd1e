"""HCL bake files as documents of the form that JSON bake files have: what has labels is below them."""

from __future__ import annotations

from buildonce.errors import ConfigurationError
from buildonce.project.hcl_parsing import HclSyntaxError, parse_body
from buildonce.project.hcl_syntax import Body
from buildonce.project.values import Value, check_size

_LABELS = {"variable": 1, "group": 1, "target": 1, "function": 1}


def read_hcl(text: bytes, path: str) -> Value:
    """Return the document's value, its attributes as expressions. Raises `ConfigurationError` when it is no HCL."""
    check_size(text, path)
    try:
        body = parse_body(text.decode(), path)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8", notes=(f"byte {error.start} cannot be read",)) from error
    return _document(body, path)


def _document(body: Body, path: str) -> Value:
    labelled: dict[str, dict[str, list[Value]]] = {}
    for block in body.blocks:
        if len(block.labels) != _LABELS.get(block.type, -1):
            known = block.type in _LABELS
            message = "has one label, its name" if known else "is no block of a bake file"
            raise HclSyntaxError(f"{path}: `{block.type}` {message}")
        labelled.setdefault(block.type, {}).setdefault(block.labels[0], []).append(_inner(block.body))
    if both := sorted(body.attributes.keys() & labelled.keys()):
        raise HclSyntaxError(f"{path}: `{both[0]}` is an attribute and a block")
    return {**body.attributes, **labelled}


def _inner(body: Body) -> Value:
    """Return the attributes of a block, and the names of the blocks in it, which only buildx reads."""
    return {**body.attributes, **{block.type: True for block in body.blocks}}

"""JSON documents as values: bounded in size and depth, without keys that stand twice."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation

from buildonce.errors import ConfigurationError
from buildonce.project.values import Value, check_size, check_values


def read_json(text: bytes, path: str) -> Value:
    """Return the document's value; raise `ConfigurationError` when it is none, or no honest one."""
    check_size(text, path)
    try:
        value: Value = json.loads(
            text.decode(),
            parse_int=Decimal,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except RecursionError as error:
        raise ConfigurationError(f"{path} nests too deep") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8", notes=(f"byte {error.start} cannot be read",)) from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigurationError(f"{path} is not JSON: {error.msg}", notes=(place,)) from error
    except InvalidOperation as error:
        raise ConfigurationError(f"{path} has a number that is out of all bounds") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from error
    check_values(value, path)
    return value


def _unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key `{key}` stands twice in one object")
        found[key] = value
    return found


def _refuse_constant(text: str) -> Value:
    raise ValueError(f"`{text}` is no number")

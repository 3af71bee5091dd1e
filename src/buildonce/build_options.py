"""What a build is told besides its Dockerfile: what RUN finds, what it may use, and where an engine keeps its cache.

The words are those of ``docker buildx build``, and so are the texts.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct, field

from buildonce.errors import UsageError

_DEFAULT_NETWORKS = ("", "default")


class BuildOptions(Struct, frozen=True, kw_only=True):
    """What every RUN of a Dockerfile finds, and what its engine is handed.

    ``extra_hosts`` has addresses by name, several with commas between them; ``ulimits`` has ``SOFT`` or ``SOFT:HARD``
    by name; ``shm_size`` is a text such as ``128m``. ``allow`` are entitlements; ``secrets``, ``ssh``, ``cache_from``
    and ``cache_to`` are texts as buildx takes them. What was made before does not count with ``no_cache``, nor what was
    made from the stages in ``no_cache_filter``.
    """

    network: str = ""
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, str] = field(default_factory=dict)
    shm_size: str = ""
    allow: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()

    @property
    def sandbox(self) -> Mapping[str, str]:
        """What RUN can notice of these options, by name: it decides the result, so it is part of keys."""
        found = {f"host {name}": address for name, address in self.extra_hosts.items()}
        found |= {f"ulimit {name}": limit for name, limit in self.ulimits.items()}
        if self.network not in _DEFAULT_NETWORKS:
            found["network"] = self.network
        if self.shm_size:
            found["shm-size"] = self.shm_size
        return MappingProxyType(found)


class Secret(Struct, frozen=True, kw_only=True):
    """A secret by its ID: the contents of a file, or the value of an environment variable."""

    id: str
    file: str = ""
    variable: str = ""


def parse_secret(text: str, environment: Mapping[str, str]) -> Secret:
    """Return the secret that ``--secret`` means with this text; with an ID alone it is the variable, else the file.

    Raises `UsageError` (docker/buildx, util/buildflags/secrets.go; moby/buildkit, session/secrets/secretsprovider).
    """
    fields = _fields(text, "secret")
    unknown = sorted(fields.keys() - {"id", "type", "src", "source", "env"})
    if unknown:
        raise UsageError(f"the secret `{text}` has a field `{unknown[0]}`, which is not known", help=_SECRET)
    if not fields.get("id"):
        raise UsageError(f"the secret `{text}` has no id", help=_SECRET)
    kind = fields.get("type", "")
    if kind not in ("", "file", "env"):
        raise UsageError(f"the secret `{text}` has the type `{kind}`", help="the types are `file` and `env`")
    source = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env") or ("" if kind != "env" else source)
    if variable:
        return Secret(id=fields["id"], variable=variable)
    if source or kind == "file":
        return Secret(id=fields["id"], file=source or fields["id"])
    name = fields["id"]
    return Secret(id=name, variable=name) if kind == "env" or name in environment else Secret(id=name, file=name)


_SECRET = "write it as id=NAME,src=FILE or id=NAME,env=VARIABLE"  # noqa: S105  how a secret is named


def parse_cache(text: str) -> Mapping[str, str]:
    """Return the fields of a cache as ``--cache-from`` and ``--cache-to`` take it; a reference alone is a registry's.

    Raises `UsageError`.
    """
    if "=" not in text:
        if not text:
            raise UsageError("a cache is empty", help=_CACHE)
        return {"type": "registry", "ref": text}
    fields = _fields(text, "cache")
    if not fields.get("type"):
        raise UsageError(f"the cache `{text}` has no type", help=_CACHE)
    return fields


_CACHE = "write it as type=registry,ref=REFERENCE or type=gha"


def spell_fields(fields: Mapping[str, str], first: str) -> str:
    """Return fields as the text of a ``--cache-to`` or ``--secret``, the one called ``first`` before the others."""
    names = sorted(fields, key=lambda name: (name != first, name))
    return ",".join(_quoted(f"{name}={fields[name]}") for name in names)


def tidy_cache(text: str) -> str:
    """Return a cache in the one form that equal caches have. Raises `UsageError`."""
    return spell_fields(parse_cache(text), "type")


def tidy_secret(text: str) -> str:
    """Return a secret in the one form that equal secrets have. Raises `UsageError`."""
    fields = _fields(text, "secret")
    if "source" in fields:
        fields["src"] = fields.pop("source")
    if fields.get("type") == "file":
        del fields["type"]
    return spell_fields(fields, "id")


def _fields(text: str, what: str) -> dict[str, str]:
    """Return comma-separated ``name=value`` pairs; quotes are those of CSV (docker/buildx, `csvvalue`)."""
    rows = list(csv.reader([text], strict=False))
    found: dict[str, str] = {}
    for part in rows[0] if rows else ():
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"`{part}` in the {what} `{text}` has no value", help="write it as name=value")
        found[name.strip().lower()] = value
    return found


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"' if any(character in part for character in ',"\n') else part

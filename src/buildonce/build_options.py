"""What a build is told besides its Dockerfile: what RUN finds, what it may use, and where an engine keeps its cache.

The words are those of ``docker buildx build``, and so are the texts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

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


def join_options(several: Sequence[BuildOptions]) -> BuildOptions:
    """Return the options of several Dockerfiles for something that all of them have, whose sandboxes are the same.

    What any of them is handed, it is handed. Raises `UsageError` for two secrets, or SSH agents, of one ID.
    """
    first, *others = several
    if all(other == first for other in others):
        return first
    return replace(
        first,
        allow=_union(one.allow for one in several),
        secrets=_named((one.secrets for one in several), "secret"),
        ssh=_named((one.ssh for one in several), "SSH agent"),
        cache_from=_union(one.cache_from for one in several),
        cache_to=_union(one.cache_to for one in several),
        no_cache=any(one.no_cache for one in several),
        no_cache_filter=_union(one.no_cache_filter for one in several),
    )


def identity(text: str) -> str:
    """Return what a secret or an SSH agent is called by."""
    named = [part.partition("=")[2] for part in text.split(",") if part.startswith("id=")]
    return named[0] if named else text.partition("=")[0]


def _union(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for texts in several for text in texts))


def _named(several: Iterable[tuple[str, ...]], what: str) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for text in _union(several):
        other = found.setdefault(identity(text), text)
        if other != text:
            raise UsageError(
                f"a stage that several variants share has two {what}s `{identity(text)}`: {other} and {text}",
                help="give it to all of them alike, or by different names",
            )
    return tuple(found.values())


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
        raise UsageError(f"the cache `{text.partition(',')[0]}` has no type", help=_CACHE)
    return fields


_CREDENTIALS = frozenset(
    {"access_key_id", "secret_access_key", "session_token", "token", "secret_access", "account_key", "sas_token"}
)
"""The fields of BuildKit's caches that let somebody in (moby/buildkit, README: gha, s3, azblob)."""

_CACHE = "write it as type=registry,ref=REFERENCE or type=gha"


def spell_fields(fields: Mapping[str, str], first: str) -> str:
    """Return fields as the text of a ``--cache-to`` or ``--secret``, the one called ``first`` before the others."""
    names = sorted(fields, key=lambda name: (name != first, name))
    return ",".join(_quoted(f"{name}={fields[name]}") for name in names)


def is_inline(text: str) -> bool:
    """Say whether a cache is inside the image that is shipped; what is compiled once is in none."""
    return parse_cache(text)["type"] == "inline"


def holds_credentials(text: str) -> bool:
    """Say whether a cache has credentials in its text."""
    return any(f"{name}=" in text.lower() for name in _CREDENTIALS)


def conceal_cache(text: str) -> str:
    """Return a cache without the credentials in it, for people to read."""
    if not holds_credentials(text):
        return text
    try:
        fields = parse_cache(text)
    except UsageError:
        return "..."
    return spell_fields({name: "..." if name in _CREDENTIALS else value for name, value in fields.items()}, "type")


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
    if "\n" in text or "\r" in text:
        raise UsageError(f"the {what} {text!r} has more than one line")
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

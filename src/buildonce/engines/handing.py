"""[io] What a build is handed besides its Dockerfile: checked before an engine starts, and spelt as engines take it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from buildonce.build_options import (
    BuildOptions,
    conceal_cache,
    is_inline,
    parse_cache,
    parse_secret,
    spell_fields,
)
from buildonce.errors import UsageError
from buildonce.oci import Platform

_AGENT = "SSH_AUTH_SOCK"
_NAMED_BY = {"gha": "scope", "s3": "name", "azblob": "name"}
"""The field that keeps the entries of one cache apart from those of another, by the cache's type."""
_LONGEST = 80
"""How many characters of a stage's name go into a tag."""
_FOLDERS = ("src", "dest")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


def check_handed(options: BuildOptions, environment: Mapping[str, str]) -> None:
    """Raise `UsageError` for a secret or an SSH agent that is not there: an engine would say so late, or not."""
    for text in options.secrets:
        secret = parse_secret(text, environment)
        # A CI provider gives a secret that nobody has stored as an empty variable.
        if secret.variable and not environment.get(secret.variable):
            raise UsageError(
                f"the secret `{secret.id}` is the variable {secret.variable}, which is not set, or empty",
                help=f"set it, or leave out the secret: {text}",
            )
        if secret.file and not Path(secret.file).is_file():
            raise UsageError(
                f"the secret `{secret.id}` is the file {secret.file}, which is not there",
                help=f"write it, or name another one: id={secret.id},src=FILE or id={secret.id},env=VARIABLE",
            )
    for text in options.ssh:
        name, equals, places = text.partition("=")
        if not equals and not environment.get(_AGENT):
            raise UsageError(
                f"the SSH agent `{name}` is the one at {_AGENT}, which is not set",
                help=f"start an agent, or name a key: {name}=FILE",
            )
        for place in places.split(",") if equals else ():
            if not Path(place).exists():
                raise UsageError(
                    f"the SSH agent `{name}` is {place}, which is not there", help="name a socket or a key"
                )


def spell_secrets(options: BuildOptions, environment: Mapping[str, str]) -> BuildOptions:
    """Return options whose secrets say whether they are files or variables, and nothing else."""
    secrets = [parse_secret(text, environment) for text in options.secrets]
    return replace(
        options,
        secrets=tuple(
            spell_fields({"id": one.id, **({"env": one.variable} if one.variable else {"src": one.file})}, "id")
            for one in secrets
        ),
    )


def scope_caches(options: BuildOptions, stage: str, platform: Platform) -> BuildOptions:
    """Return options whose engine caches are those of one stage and platform alone.

    Two jobs that write to one cache keep only what the last of them wrote; so each has its own. Raises `UsageError`.
    """
    scope = f"{_NOT_IN_NAMES.sub('_', stage)[:_LONGEST]}-{platform.slug}"
    return replace(
        options,
        cache_from=tuple(_scoped(text, scope) for text in options.cache_from if not is_inline(text)),
        cache_to=tuple(_scoped(text, scope) for text in options.cache_to if not is_inline(text)),
    )


def _scoped(text: str, scope: str) -> str:
    fields = dict(parse_cache(text))
    kind = fields["type"]
    if kind == "registry":
        fields["ref"] = _scoped_reference(fields.get("ref", ""), text, scope)
    elif kind == "local":
        fields |= {name: f"{fields[name].rstrip('/')}/{scope}" for name in _FOLDERS if fields.get(name)}
    elif kind in _NAMED_BY:
        name = _NAMED_BY[kind]
        fields[name] = f"{fields.get(name) or 'buildonce'}-{scope}"
    else:
        raise UsageError(
            f"the cache `{conceal_cache(text)}` has the type `{kind}`, of which a stage can have none of its own",
            help="take type=registry, type=gha, type=local, type=s3 or type=azblob",
        )
    return spell_fields(fields, "type")


def _scoped_reference(reference: str, text: str, scope: str) -> str:
    if not reference:
        raise UsageError(
            f"the cache `{conceal_cache(text)}` has no ref", help="write it as type=registry,ref=REFERENCE"
        )
    if "@" in reference:
        return reference
    head, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        head, tag = reference, "buildcache"
    return f"{head}:{tag[: 127 - len(scope)]}-{scope}"


def sandbox_arguments(options: BuildOptions, *, between: str) -> Iterator[str]:
    """Yield the arguments for what RUN finds, which all engines call the same."""
    if options.network not in ("", "default"):
        yield from ("--network", options.network)
    yield from _host_arguments(options.extra_hosts, between=between)
    for name, limit in sorted(options.ulimits.items()):
        yield from ("--ulimit", f"{name}={limit}")
    if options.shm_size:
        yield from ("--shm-size", options.shm_size)


def _host_arguments(hosts: Mapping[str, str], *, between: str) -> Iterator[str]:
    """Yield the arguments that make addresses known by name; ``between`` stands between the two."""
    for name, addresses in sorted(hosts.items()):
        for address in addresses.split(","):
            yield from ("--add-host", f"{name}{between}{address.strip()}")

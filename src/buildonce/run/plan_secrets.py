"""Secrets and plan files: a plan file is kept where many can read it, so values that look secret are left out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from buildonce.build_options import BuildOptions, conceal_cache, holds_credentials
from buildonce.errors import UsageError
from buildonce.plan.secrecy import conceal, hide_credentials
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.run.plan_file import Secret


def without_secrets(declaration: Declaration) -> tuple[Declaration, tuple[Secret, ...]]:
    """Return a declaration without the values of build arguments that look secret, and which these are.

    Raises `UsageError` for an address of a named context, or an engine's cache, that has a password in it: there is no
    other place to have it from.
    """
    _check_caches(declaration.build.options)
    secrets = [Secret(variant=None, name=name) for name in _secret(declaration.args)]
    for target in (*declaration.variants, *declaration.linked):
        _check_contexts(target.contexts)
        _check_caches(target.build.options)
        secrets += [Secret(variant=target.name, name=name) for name in _secret(target.args)]
    _check_contexts(declaration.contexts)
    variants, linked = (
        tuple(replace(one, args=_open(one.args)) for one in targets)
        for targets in (declaration.variants, declaration.linked)
    )
    opened = replace(declaration, args=_open(declaration.args), variants=variants, linked=linked)
    return opened, tuple(dict.fromkeys(secrets))


def with_secrets(
    declaration: Declaration, secrets: tuple[Secret, ...], values: Mapping[str, str], environment: Mapping[str, str]
) -> Declaration:
    """Return the declaration with the values of its secrets: as a job gives them, else from the environment.

    Raises `UsageError` for one that neither has.
    """
    for secret in secrets:
        value = values.get(secret.name, environment.get(secret.name))
        if value is None:
            raise UsageError(
                f"the build argument {secret.name} looks like a secret, so the plan file does not have its value",
                help=f"set {secret.name} in the environment of this job, or give --build-arg {secret.name}=VALUE",
            )
        declaration = _with(declaration, secret, value)
    return declaration


def _with(declaration: Declaration, secret: Secret, value: str) -> Declaration:
    if secret.variant is None:
        return replace(declaration, args={**declaration.args, secret.name: value})

    def filled(variant: VariantDeclaration) -> VariantDeclaration:
        own = variant.name == secret.variant
        return replace(variant, args={**variant.args, secret.name: value}) if own else variant

    variants, linked = map(filled, declaration.variants), map(filled, declaration.linked)
    return replace(declaration, variants=tuple(variants), linked=tuple(linked))


def _secret(arguments: Mapping[str, str]) -> list[str]:
    return sorted(name for name, value in arguments.items() if conceal(name, value) != value)


def _open(arguments: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in arguments.items() if conceal(name, value) == value}


def _check_caches(options: BuildOptions) -> None:
    for text in (*options.cache_from, *options.cache_to):
        if holds_credentials(text):
            raise UsageError(
                f"the engine's cache {conceal_cache(text)} has credentials in its text, which a plan file would show",
                help="leave them out: the engine has them from the environment of the job, or of its own machine",
            )


def _check_contexts(contexts: Mapping[str, str]) -> None:
    for name, value in contexts.items():
        if hide_credentials(value) != value:
            raise UsageError(
                f"the address of the named context `{name}` has a password in it, which a plan file would show",
                help="leave it out of the address; Git and registries have logins of their own",
            )

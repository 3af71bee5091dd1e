"""[io] Credentials as Docker, Podman and CI systems keep them: files, helpers, environment.

Asked in this order, and the first that knows the registry wins: BUILDONCE_AUTH_HOST, _USERNAME and _PASSWORD;
REGISTRY_AUTH_FILE; DOCKER_AUTH_CONFIG (the content of a configuration file); DOCKER_CONFIG/config.json or
~/.docker/config.json; XDG_RUNTIME_DIR/containers/auth.json.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from buildonce.reference import DOCKER_HUB
from buildonce.store.registry.challenges import Credential, IdentityToken, Password, RegistryToken

_GRACE = 1.0
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_TIMEOUT = 30.0
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NOT_FOUND = "credentials not found"


class Finding(Struct, frozen=True, kw_only=True):
    """The credential for a registry, or None; ``source`` says for messages where it comes from or why there is none."""

    credential: Credential | None = None
    source: str = "none found"


class CredentialSource(Protocol):
    """Where credentials come from."""

    async def find(self, registry: str, repository: str) -> Finding:
        """Return what is known for a repository in a registry."""
        ...


class Anonymous:
    """No credentials for anything."""

    async def find(self, registry: str, repository: str) -> Finding:  # noqa: ARG002
        """Return nothing."""
        return Finding(source="none (anonymous)")


class Entry(msgspec.Struct, frozen=True):
    """One registry in a configuration file."""

    auth: str = ""
    username: str = ""
    password: str = ""
    identity_token: str = msgspec.field(default="", name="identitytoken")
    registry_token: str = msgspec.field(default="", name="registrytoken")


class ConfigurationFile(msgspec.Struct, frozen=True):
    """The parts of Docker's config.json that say who one is."""

    auths: dict[str, Entry] = {}
    helpers: dict[str, str] = msgspec.field(default_factory=dict, name="credHelpers")
    store: str = msgspec.field(default="", name="credsStore")


class DockerCredentials:
    """The credentials of the user whose environment is ``environment``; files are read once, when first needed."""

    def __init__(self, environment: Mapping[str, str], *, helper_timeout: float = _HELPER_TIMEOUT) -> None:
        self._environment = environment
        self._helper_timeout = helper_timeout
        self._files: tuple[tuple[str, ConfigurationFile], ...] | None = None
        self._problems: list[str] = []
        self._answers: dict[tuple[str, str], tuple[Credential | None, str | None]] = {}
        self._asking = asyncio.Lock()

    async def find(self, registry: str, repository: str) -> Finding:
        """Return what is known for a repository in a registry. A broken file or helper is named, not raised."""
        if named := _from_variables(self._environment, registry):
            return named
        problems: list[str] = []
        for place, file in self._read_files():
            if helper := file.helpers.get(_key(registry)) or file.helpers.get(registry) or file.store:
                credential, problem = await self._ask_once(helper, registry, place)
                if credential:
                    return Finding(credential=credential, source=credential.source)
                problems += [problem] if problem else []
            if found := find_entry(file, registry, repository):
                credential = _credential_of(found[1], f"{place} (`{found[0]}`)")
                if credential:
                    return Finding(credential=credential, source=credential.source)
                problems.append(f"`{found[0]}` in {place} holds no usable credential")
        problems = [*self._problems, *problems]
        return Finding(source="; ".join(["none found", *problems]))

    def _read_files(self) -> tuple[tuple[str, ConfigurationFile], ...]:
        if self._files is None:
            self._files = tuple(self._load_files())
        return self._files

    def _load_files(self) -> Iterator[tuple[str, ConfigurationFile]]:
        for place in _places(self._environment):
            try:
                name, content = (str(place), place.read_bytes()) if isinstance(place, Path) else place
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._problems.append(f"{place} cannot be read: {error.strerror}")
                continue
            if file := self._decode(content, name):
                yield name, file

    def _decode(self, content: bytes, place: str) -> ConfigurationFile | None:
        try:
            return msgspec.json.decode(content, type=ConfigurationFile)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._problems.append(f"{place} is not a Docker configuration file")
            return None

    async def _ask_once(self, helper: str, registry: str, place: str) -> tuple[Credential | None, str | None]:
        async with self._asking:
            if (helper, registry) not in self._answers:
                self._answers[helper, registry] = await self._ask_helper(helper, registry, place)
            return self._answers[helper, registry]

    async def _ask_helper(self, helper: str, registry: str, place: str) -> tuple[Credential | None, str | None]:
        """Return the credential that `docker-credential-<helper> get` knows, or what went wrong.

        The protocol is that of docker-credential-helpers: the key on stdin, JSON or a plain message on stdout.
        """
        program = f"docker-credential-{helper}"
        if not _HELPER_NAME.fullmatch(helper):
            return None, f"the credential helper named in {place} has an impossible name"
        try:
            async with asyncio.timeout(self._helper_timeout):
                code, output = await _run_helper(program, _key(registry), self._environment)
        except TimeoutError:
            return None, f"`{program} get` (from {place}) did not answer in {self._helper_timeout:g} seconds"
        except OSError as error:
            return None, f"`{program}` (from {place}) cannot be run: {error.strerror}"
        if code != 0:
            unknown = _NOT_FOUND in output.decode(errors="replace")
            return None, None if unknown else f"`{program} get` (from {place}) failed with exit code {code}"
        try:
            answer = msgspec.json.decode(output, type=_HelperAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, f"`{program} get` (from {place}) answered with something else than credentials"
        if not answer.Secret:
            return None, None
        if answer.Username == "<token>":
            return IdentityToken(secret=answer.Secret, source=f"`{program}` (identity token)"), None
        return _password(answer.Username, answer.Secret, f"`{program}`"), None


def find_entry(file: ConfigurationFile, registry: str, repository: str) -> tuple[str, Entry] | None:
    """Return the entry for a repository and its key: the longest matching path first (containers-auth.json(5))."""
    normalised = {_normalise(key): (key, entry) for key, entry in reversed(file.auths.items())}
    parts = [registry, *repository.split("/")]
    for length in range(len(parts), 0, -1):
        if found := normalised.get("/".join(parts[:length])):
            return found
    return None


class _HelperAnswer(msgspec.Struct):
    Username: str = ""
    Secret: str = ""


def _key(registry: str) -> str:
    return _DOCKER_HUB_KEY if registry == DOCKER_HUB else registry


def _normalise(key: str) -> str:
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, _, rest = bare.partition("/")
    rest = "" if rest in ("v1", "v2") else rest
    host = DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host
    return f"{host}/{rest}" if rest else host


def _places(environment: Mapping[str, str]) -> Iterator[Path | tuple[str, bytes]]:
    if path := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(path)
    if content := environment.get("DOCKER_AUTH_CONFIG"):
        yield "DOCKER_AUTH_CONFIG", content.encode()
    if folder := environment.get("DOCKER_CONFIG"):
        yield Path(folder) / "config.json"
    elif home := environment.get("HOME"):
        yield Path(home) / ".docker/config.json"
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"


def _from_variables(environment: Mapping[str, str], registry: str) -> Finding | None:
    host = environment.get("BUILDONCE_AUTH_HOST")
    user, secret = environment.get("BUILDONCE_AUTH_USERNAME"), environment.get("BUILDONCE_AUTH_PASSWORD")
    if host != registry or not user or not secret:
        return None
    credential = _password(user, secret, "BUILDONCE_AUTH_USERNAME")
    return Finding(credential=credential, source=credential.source)


def _credential_of(entry: Entry, source: str) -> Credential | None:
    if entry.registry_token.isascii() and entry.registry_token.isprintable() and entry.registry_token:
        return RegistryToken(secret=entry.registry_token, source=source)
    if entry.identity_token:
        return IdentityToken(secret=entry.identity_token, source=f"{source}, identity token")
    if entry.auth:
        with suppress(binascii.Error, UnicodeDecodeError):
            user, colon, secret = base64.b64decode(entry.auth).decode().partition(":")
            if colon and user:
                return _password(user, secret.rstrip("\0"), source)
    if entry.username and entry.password:
        return _password(entry.username, entry.password, source)
    return None


def _password(user: str, secret: str, source: str) -> Password:
    return Password(user=user, secret=secret, source=f"{source}, user `{user[:80]}`")


async def _run_helper(program: str, key: str, environment: Mapping[str, str]) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        program,
        "get",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
    )
    answered = False
    try:
        output, _ = await process.communicate(key.encode())
        answered = True
        return process.returncode or 0, output
    finally:
        if not answered:
            with suppress(ProcessLookupError):
                process.kill()
            # What it started may hold its output open, and is not waited for.
            with suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await process.communicate()

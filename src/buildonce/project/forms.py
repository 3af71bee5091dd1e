"""The kinds of text that a configuration has: what each is called, and the pattern that it has to match.

The patterns mean the same to Python and to JSON Schema (ECMA 262), so that an editor and the reader agree. What matches
is taken by the functions that later parse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import UsageError
from buildonce.oci import parse_platform
from buildonce.project.templates import FIELDS, check_template
from buildonce.reference import is_tag, parse_repository


class Form(Struct, frozen=True, kw_only=True):
    """A kind of text: what it is (with its article), its pattern, how long it may be, and how to write it.

    ``hint`` says what is wrong with a text that the pattern does not match, or None where ``help`` says enough.
    """

    noun: str
    pattern: str
    help: str
    example: str
    longest: int = 4096
    hint: Callable[[str], str | None] | None = None


class Wrong(Struct, frozen=True, kw_only=True):
    """Why a text does not have its form, and what to do."""

    message: str
    help: str


def find_wrong(form: Form, text: str, name: str) -> Wrong | None:
    """Return what is wrong with a text that is called ``name``, None if it has the form."""
    if not text and not re.fullmatch(form.pattern, ""):
        return Wrong(message=f"{name} is empty, and should be {form.noun}", help=form.help)
    if len(text) > form.longest:
        return Wrong(message=f"{name} has {len(text)} characters; {form.longest} are the most", help="shorten it")
    if re.fullmatch(form.pattern, text):
        return None
    hint = form.hint(text) if form.hint else None
    return Wrong(message=f"`{text}` is not {form.noun}", help=hint or form.help)


_ANY = r"[^\u0000]+"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f]*:[0-9A-Fa-f:]*\])(?::[0-9]{{1,5}})?"
_FIRST = r"[a-z0-9]+(?:(?:_|__|-+)[a-z0-9]+)*"
_PIECE = r"(?:[a-z0-9]|\{variant\})"
_FAMILY_PART = rf"{_PIECE}+(?:(?:\.|_|__|-+){_PIECE}+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_FIELD = rf"\{{(?:{'|'.join(FIELDS)})\}}"
_REPOSITORY = rf"(?:(?:{_HOST}|{_FIRST})(?:/{_PART})+|{_PART})"
_FAMILY = rf"(?:(?:{_HOST}|{_FIRST})(?:/{_FAMILY_PART})+|{_FAMILY_PART})"


def _about_platform(text: str) -> str | None:
    if "," in text:
        return "write each platform as a text of its own: " + ", ".join(f'"{one.strip()}"' for one in text.split(","))
    try:
        return f"did you mean `{parse_platform(text)}`?"
    except UsageError:
        return f"did you mean `linux/{text}`?" if text.isalnum() and text not in ("linux", "windows") else None


def _about_repository(text: str) -> str | None:
    if text.startswith("oci:"):
        return f'an OCI layout on disk is written as output = "{text}"'
    if "://" in text:
        return f"write it without a scheme: `{text.partition('://')[2]}`"
    if text.startswith(("/", ".", "~")):
        return f'an OCI layout on disk is written as output = "oci:{text}"'
    if "{" in text and "{variant}" not in text:
        return "the only field here is {variant}, for a repository of each variant"
    head, _, tag = text.rpartition(":")
    if head and is_tag(tag) and "/" not in tag:
        return f'leave out `:{tag}`: tags are written as tags = ["{tag}"]'
    return _lowered(text)


def _lowered(text: str) -> str | None:
    first, slash, rest = text.partition("/")
    lower = f"{first}/{rest.lower()}" if slash else text.lower()
    try:
        parse_repository(lower)
    except UsageError:
        return None
    return f"write it in lower case: `{lower}`" if lower != text else None


def _about_store(text: str) -> str | None:
    if text == "oci:":
        return "name the folder: oci:DIR"
    if text.startswith(("/", ".", "~")):
        return f"did you mean `oci:{text}`?"
    if "{" in text:
        return "there is one cache for all variants"
    return _about_repository(text)


def _about_layout(text: str) -> str | None:
    if text == "oci:":
        return "name the folder: oci:DIR"
    if text.startswith(("/", ".", "~")) or "/" not in text:
        return f"did you mean `oci:{text}`?"
    return f'a repository is written as push = "{text}"'


def _about_template(text: str) -> str | None:
    try:
        check_template(text)
    except UsageError as error:
        return f"{error.message.partition('`: ')[2]}; {error.help}"
    return "a tag has letters, digits, `_`, `.` and `-`, at most 128, and begins with a letter, a digit or `_`"


def _about_variant(text: str) -> str | None:
    lower = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return f"call it `{lower}`: the name is part of tags and repositories" if lower else None


def _about_place(text: str) -> str | None:
    return f"did you mean `/{text.removeprefix('./')}`?"


def _about_rule(text: str) -> str | None:
    return did_you_mean(text, ("never", "always", "release")) or (
        f"did you mean `branch {text}`?" if re.fullmatch(r"[A-Za-z0-9._/-]+", text) else None
    )


FILE = Form(noun="a path", pattern=_ANY, help="write it relative to the folder of this file", example="Dockerfile")
FOLDER = Form(noun="a folder", pattern=_ANY, help="write it relative to the folder of this file", example=".")
PLATFORM = Form(
    noun="a platform",
    pattern=r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?",
    help="write it as os/architecture, such as linux/arm64",
    example="linux/arm64",
    hint=_about_platform,
)
REPOSITORY = Form(
    noun="a repository",
    pattern=_FAMILY,
    help="write it as registry/repository, the repository in lower case",
    example="registry.example/acme/app",
    longest=160,
    hint=_about_repository,
)
STORE = Form(
    noun="a place for a cache",
    pattern=rf"(?:oci:{_ANY}|{_REPOSITORY})",
    help="write it as registry/repository, or oci:DIR",
    example="registry.example/acme/app-cache",
    longest=160,
    hint=_about_store,
)
LAYOUT = Form(
    noun="an OCI layout",
    pattern=rf"oci:{_ANY}",
    help="write it as oci:DIR",
    example="oci:dist",
    hint=_about_layout,
)
ENGINE = Form(
    noun="an engine",
    pattern="(?:buildx|buildah|podman)",
    help="the engines are buildx, buildah and podman",
    example="buildah",
)
TEMPLATE = Form(
    noun="a template for tags",
    pattern=rf"(?:[A-Za-z0-9_]|{_FIELD})(?:[A-Za-z0-9._-]|{_FIELD})*",
    help="write it as {version}-{variant}",
    example="{version}-{variant}",
    longest=128,
    hint=_about_template,
)
STAGE = Form(
    noun="the name of a stage",
    pattern=r"(?:[A-Za-z][A-Za-z0-9_.-]*|[0-9]+)",
    help="it is the name that `FROM ... AS name` gives it; the first stage is also called 0",
    example="runtime",
)
VARIANT_NAME = Form(
    noun="the name of a variant",
    pattern=_PART,
    help="it has small letters and digits, with single `.`, `_` or `-` between them",
    example="claude",
    longest=64,
    hint=_about_variant,
)
LATEST_RULE = Form(
    noun="a rule for `latest`",
    pattern=r"(?:never|always|release|branch [^\s\u0000-\u001f~^:?*\[\\{}]+)",
    help="it is `never`, `always`, `release` or `branch NAME`",
    example="branch main",
    hint=_about_rule,
)
ARGUMENT_NAME = Form(
    noun="the name of a build argument",
    pattern=r"[^=\s\u0000]+",
    help="it is the name that ARG gives it in the Dockerfile",
    example="VERSION",
)
ARGUMENT_VALUE = Form(
    noun="the value of a build argument", pattern=r"[^\u0000]*", help="it is any text without the byte 0", example="1.0"
)
CONTEXT_NAME = Form(
    noun="the name of a named context",
    pattern=rf"{_REPOSITORY}(?::{_TAG})?",
    help="it is the name of a stage or image that the context stands in for, in lower case",
    example="builder",
    longest=160,
)
CONTEXT_VALUE = Form(
    noun="a build context",
    pattern=_ANY,
    help="it is a folder, docker-image://REFERENCE, oci-layout://PATH, target:VARIANT, a Git repository or a URL",
    example="../data",
)
GIVEN_STAGE = Form(
    noun="the name of a stage",
    pattern=r"[a-z][a-z0-9_.-]*",
    help="it is the name that `FROM ... AS name` gives it, in lower case",
    example="builder",
)
GIVEN_PLACE = Form(
    noun="a path in a stage",
    pattern=r"/[^\u0000]*",
    help="write it from the root on: /out/bin/app",
    example="/out/bin/app",
    hint=_about_place,
)
GIVEN_PATH = Form(
    noun="a path of given files",
    pattern=r"(?:[^\u0000{}]|\{(?:os|arch|variant)\})+",
    help="its fields are {os}, {arch} and {variant}, those of the platform",
    example="dist/{os}-{arch}",
)
LABEL_NAME = Form(
    noun="the name of a label or an annotation",
    pattern=r"[^=\s\u0000]+",
    help="it has no `=` and no spaces",
    example="org.opencontainers.image.source",
)
LABEL_VALUE = Form(
    noun="the value of a label or an annotation",
    pattern=r"[^\u0000]*",
    help="it is any text without the byte 0",
    example="https://git.example/acme/app",
    longest=1_000_000,
)
NETWORK = Form(noun="a network", pattern=r"[^\s\u0000]+", help="it is `default`, `none` or `host`", example="host")
HOST_NAME = Form(
    noun="the name of a host", pattern=r"[^\s=:,\u0000]+", help="write it without its address", example="db.internal"
)
HOST_ADDRESS = Form(
    noun="an address",
    pattern=r"[0-9A-Fa-f.:\[\]a-z-]+(?:, ?[0-9A-Fa-f.:\[\]]+)*",
    help="write it in numbers, or as host-gateway",
    example="10.0.0.7",
)
LIMIT_NAME = Form(noun="the name of a limit", pattern=r"[a-z]+", help="such as `nofile` or `nproc`", example="nofile")
LIMIT = Form(
    noun="a limit", pattern=r"-?[0-9]+(?::-?[0-9]+)?", help="write it as SOFT or SOFT:HARD", example="1024:4096"
)
SIZE = Form(
    noun="a size",
    pattern=r"[0-9]+(?:\.[0-9]+)? ?(?:[bB]|[kKmMgGtT](?:i?[bB])?)?",
    help="write it in bytes, or as 128m or 1g",
    example="128m",
)
STAGE_NAME = Form(
    noun="the name of a stage",
    pattern=r"[A-Za-z][A-Za-z0-9_.-]*",
    help="it is the name that `FROM ... AS name` gives it",
    example="builder",
)
ENTITLEMENT = Form(
    noun="an entitlement",
    pattern=r"[a-z.]+(?:=[^\u0000]+)?",
    help="it is `network.host`, `security.insecure` or `device`",
    example="network.host",
)
SECRET = Form(
    noun="a secret",
    pattern=r"(?:[a-z]+=[^,\u0000\r\n]+)(?:,[a-z]+=[^,\u0000\r\n]+)*",
    help="write it as id=NAME,src=FILE or id=NAME,env=VARIABLE",
    example="id=npmrc,src=.npmrc",
)
SSH = Form(
    noun="an SSH agent",
    pattern=r"[^\s=,\u0000]+(?:=[^\u0000]+)?",
    help="write it as default, or NAME=FILE for a socket or a key",
    example="default",
)
ENGINE_CACHE = Form(
    noun="an engine's cache",
    pattern=r"[^\s\u0000]+",
    help="write it as type=registry,ref=REFERENCE or type=gha",
    example="type=gha",
)

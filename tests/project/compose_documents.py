"""Compose files that buildx and we both read, for a comparison: what stands in `build`, and what it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A Compose file, the environment, and the file .env."""

    text: str
    environment: Mapping[str, str] = field(default_factory=dict)
    dotenv: str = ""


def build(*lines: str, before: str = "", after: str = "", dotenv: str = "", **environment: str) -> Case:
    """Return a file with one service, whose `build` has these lines."""
    body = "".join(f"      {line}\n" for line in lines)
    after = "".join(f"    {line}\n" for line in after.splitlines())
    return Case(text=f"{before}\nservices:\n  s:\n    build:\n{body}{after}", environment=environment, dotenv=dotenv)


def scalar(text: str) -> Case:
    return build("context: .", "args:", f"  A: {text}")


def filled(text: str, dotenv: str = "") -> Case:
    return build("context: .", "args:", f"  A: '{text}'", dotenv=dotenv, EMPTY="", SET="set")


SCALARS = (
    *("1", "1.10", "3.0", "1e3", "1e2", "0x1F", "010", "0o10", "0b11", "089", "1_000", "+1", "-5", ".5", "1.", "-0.0"),
    *("1000000", "1000000.0", "999999.5", "12345678.5", "0.0001", "0.00001", "1.5e-7", "1e21", "1e400", "1:30"),
    *("123456789012345678901234567890", "9223372036854775807", "0.1", "100000.0", "true", "True", "FALSE", "yes", "on"),
    *("n", "null", "~", "''", "'5'", '"a\\nb"', "plain text", "<<", "=", "!!str 5", "a#b", "1.2.3", "0x", "1e", "08.5"),
)
TEMPLATES = (
    *("$SET", "${SET}", "$UNSET", "${UNSET}", "${UNSET:-d}", "${UNSET-d}", "${EMPTY:-d}", "${EMPTY-d}", "${SET:-d}"),
    *("${UNSET:+r}", "${UNSET+r}", "${EMPTY:+r}", "${EMPTY+r}", "${SET:+r}", "${SET+r}", "${SET:?m}", "${EMPTY?m}"),
    *("$$SET", "$$$$SET", "$$$SET", "$${SET}", "$", "a$", "$1", "$-x", "${SET}x", "$SET-x", "$SETx", "$_a", "{SET}"),
    *("${UNSET:-${SET}}", "${UNSET:-${UNSET2:-z}}", "${UNSET:-$SET}", "${UNSET:-a}b}", "${UNSET:-}", "${UNSET:-a:b-c}"),
    *(
        "${UNSET:-$$SET}",
        "${UNSET:-a}${SET:+b}",
        "${UNSET:-${SET}-${SET}}",
        "%SET% é ${SET}",
    ),
    *("${SET:+${UNSET:-q}}", "${UNSET:-a?b}", "${UNSET:-a+b}", "${UNSET-:-x}"),
)
DOTENV = """\
# a comment
PLAIN=plain # another
export EXPORTED=exported
QUOTED="a # \\"b\\" $PLAIN ${SET}\\n\\$PLAIN"
SPACED = spaced out \t
LITERAL='a $PLAIN \\n b'
YAML: colon
SET=overridden
MULTI="one
two"
EMPTY_ONE=
DEFAULTED=${NOTHING:-default}
HASH=a#b
ALONE
"""

CASES: Mapping[str, Case] = {
    **{f"scalar {text}": scalar(text) for text in SCALARS},
    **{f"filled {text}": filled(text) for text in TEMPLATES},
    **{
        f"from .env {name}": filled(f"${{{name}}}", DOTENV)
        for name in (
            "PLAIN",
            "EXPORTED",
            "QUOTED",
            "SPACED",
            "LITERAL",
            "YAML",
            "SET",
            "MULTI",
            "EMPTY_ONE",
            "DEFAULTED",
        )
    },
    "from .env HASH and ALONE": filled("$HASH$ALONE", DOTENV),
    "a folder alone": Case(text="services:\n  s:\n    build: ./a\n  t: {build: .}\n  i: {image: x}\n"),
    "arguments in a list": build("context: .", "args: [A=1, B, C=, D=a=b, A=2, E, F=$B]", B="env"),
    "arguments without a value": build("context: .", "args:", "  B:", "  C: ''", "  D: null", B="env"),
    "a variable in a list's name": build("context: .", "args: ['${N}=1']", N="name"),
    "contexts in a list": build(
        "context: .",
        "additional_contexts:",
        *("  - a=docker-image://x", "  - b=./foo", "  - c=../x", "  - d=https://h.io/x.git", "  - e=/abs"),
    ),
    "contexts in a mapping": build(
        "context: .", "additional_contexts: {a: docker-image://x, b: ./foo, d: '$X'}", X="d"
    ),
    "folders": build("context: ./a/../b/", "dockerfile: ../D"),
    "an absolute folder": build("context: /a/b"),
    "no folder": build("dockerfile: D", "target: ${T:-t}"),
    "an empty folder": build("context: ''", "target: x"),
    "platforms": build("context: .", "platforms: [linux/arm64, linux/amd64, linux/arm64]"),
    "tags": build("context: .", "tags: [r.io/a:1, 'r.io/a:$V', r.io/a:1]", V="2"),
    "an image": build("context: .", after="image: r.io/c:3"),
    "a profile": build("context: .", after="profiles: [debug]"),
    "merged mappings": build(
        "<<: [*a, *b]", "target: t", before="x-a: &a {context: a, args: {A: 1}}\nx-b: &b {context: b, dockerfile: D}"
    ),
    "merged arguments": build("context: .", "args:", "  <<: *a", "  B: 2", before="x-a: &a {A: 1, B: 1}"),
    "an alias for a value": build("context: .", "args: {A: *v, B: *v}", before="x-v: &v value"),
    "what is passed over": build("context: .", "pull: true", "provenance: true", "x-y: {a: 1}"),
    "what the build is told": build(
        "context: .",
        "labels: [a=b, c]",
        "network: none",
        "extra_hosts: [a=1.1.1.1, 'b:2.2.2.2']",
        "shm_size: 128MiB",
        "ulimits: {nofile: {soft: 1, hard: 2}}",
        "secrets: [s, t]",
        "cache_from: [r.io/a:b, 'type=gha,scope=$S']",
        "cache_to: [type=inline]",
        "no_cache: true",
        before="secrets: {s: {file: /dev/null}, t: {environment: HOME}}",
        S="x",
    ),
    "other parts": build(
        "context: .", before="name: p\nversion: '3'\nnetworks: {n: {}}", after="ports: [80:80]\nenvironment: {A: '$Q'}"
    ),
}

#!/usr/bin/env python3
"""Write a page for each error code: `scripts/error_pages.py`, or `scripts/error_pages.py --check`.

What a page says comes from the code: the meaning of a code, the documentation of an error's class, and the message that
an example really gives.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import buildonce
from buildonce.diagnostics import render_diagnostic
from buildonce.dockerfile.evaluation import BaseState, evaluate_stage
from buildonce.dockerfile.ignore import compile_ignore
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import PROBLEMS, Fault, SyntaxProblem
from buildonce.dockerfile.rewriting import append_stage
from buildonce.dockerfile.runes import encode, escape_invalid
from buildonce.dockerfile.stages import resolve_stages, undefined_stage_diagnostic
from buildonce.errors import Error
from buildonce.oci import Platform
from buildonce.verify.findings import MEANINGS, Meaning

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference" / "errors"
UNDEFINED = "DF012"
_WIDEST = 110
_LINUX = Platform(os="linux", architecture="amd64")

EXAMPLES: Mapping[str, str] = {
    "DF001": "# nothing but a comment\n",
    "DF002": "FROM debian\nRUM make\n",
    "DF003": "# escape=/\nFROM debian\n",
    "DF004": "# escape=\\\n# escape=`\nFROM debian\n",
    "DF005": "FROM debian\nRUN " + "x" * 65536 + "\n",
    "DF006": "FROM debian\nRUN <<EOF\necho one\n",
    "DF007": "FROM debian\nCOPY a <<EOF\necho one\nEOF\n",
    "DF008": 'FROM debian\nSHELL ["sh", 1]\n',
    "DF009": "FROM debian AS\n",
    "DF010": "FROM debian\nCOPY --form=builder /a /b\n",
    "DF011": "FROM debian\nCOPY --link=maybe a /b\n",
    "DF012": "FROM gcc:12 AS build\nRUN make\n\nFROM debian AS app\nCOPY --from=builder /app /app\n",
    "DF013": "FROM debian\nENV NAME=${NAME\n",
    "DF014": "FROM debian\nLABEL version\n",
    "DF015": "FROM debian AS 1st\n",
    "DF016": "RUN make\nFROM debian\n",
    "DF017": "ARG VERSION=12\n",
    "DF018": "ARG BASE\nFROM $BASE\n",
    "DF019": "FROM --platform=linux/amd64/v1/v2/v3 debian\n",
    "DF020": "FROM debian AS a\nCOPY --from=b /x /x\nFROM debian AS b\nCOPY --from=a /x /x\n",
    "DF021": "FROM debian AS app\nCOPY --from=build /app /app\nFROM gcc:12 AS build\n",
    "DF022": "FROM debian\nCOPY --from=7 /a /b\n",
    "DF023": "FROM debian AS build\nARG FROM_STAGE=build\nRUN --mount=from=$FROM_STAGE,target=/x make\n",
    "DF024": "FROM debian\nRUN --mount=type=cash,target=/x make\n",
    "DF025": "FROM debian\nRUN --network=local make\n",
    "DF026": "FROM debian\nONBUILD FROM busybox\n",
    "DF027": "FROM debian\nHEALTHCHECK --interval=often CMD check\n",
    "DF028": "FROM debian\nSHELL bash -c\n",
    "DF029": "FROM debian\nEXPOSE http\n",
    "DF030": "FROM debian\nSTOPSIGNAL SIGNOPE\n",
    "DF031": 'FROM debian\nVOLUME [""]\n',
    "DF032": "FROM debian\nCOPY --chmod=rwx a /a\n",
    "DF033": 'FROM debian\nARG VERSION\nENV V="${VERSION:?give the version}"\n',
    "DF035": "FROM Debian:12\n",
    "DF038": "FROM debian\nRUN echo caf\udce9\n",
}


IGNORE_FILES: Mapping[str, str] = {"DF034": "*.log\n!\n"}

UNFINISHED: Mapping[str, str] = {"DF037": "FROM debian\nRUN make \\ \\"}
"""Dockerfiles to which no stage can be added."""

NEXT_STEPS: Mapping[str, str] = {
    "USAGE": "Look at the command line or the environment variable that the message names; `--help` has the rest.",
    "CONFIGURATION": "Every mistake is shown with its place; [the reference](../configuration.md) has all keys.",
    "DOCKERFILE": "The message has the place and a code of its own; see the page of that code.",
    "CONTEXT": "Look at the build context: the message names the path, and the line of the Dockerfile that takes it.",
    "CONTEXT-MISSING": "Make the file before the build, correct the path, or take the rule out of the ignore file.",
    "CONTEXT-NAME": "Rename the file, or exclude it in the ignore file.",
    "CONTEXT-SPECIAL": "Exclude the file in the ignore file, or copy a narrower path.",
    "ENGINE-UNAVAILABLE": (
        "Start Docker, or point DOCKER_HOST at one that runs; `docker buildx ls` lists them. "
        "[Which engines there are](../../engines.md), and what each of them lacks."
    ),
    "ENGINE-FAILED": "The last lines of the engine name the instruction that failed. No tag has moved.",
    "STORE": "The message has the request and the store's own words. Run the same command again: nothing is lost.",
    "REGISTRY-UNAVAILABLE": "Check the registry's name and your network, then run the same command again.",
    "REGISTRY-DENIED": "Log in with `docker login`, with an account that may do what the message says.",
    "INTEGRITY": "Something between you and the store changes bytes, or the store is damaged; nothing of it was used.",
    "CONTESTED-TAGS": "Let one run at a time ship to these tags (in CI: a concurrency group), and run this one again.",
    "STALE-RELEASE": "Somebody released after you staged. Stage again, or move the tags all the same with `--force`.",
    "DISK": "Make room and run the same command again; nothing half-written is taken for whole.",
    "ASSEMBLY": "The image cannot be made as the Dockerfile says, by an engine either; the message says why.",
    "ASSEMBLY-ENGINE": "Nothing to do: an engine builds this image instead.",
    "ARCHIVE": "A layer of a base image is malformed or hostile. Choose another base, or have it built again.",
    "FIT": "The message says what would cure it; [what is checked, and how](../../fit.md) has the rules.",
    "NOT-MADE": "Make the plan again: a new one finds what is missing, and gives it to a job that may make it.",
    "PLAN-DIFFERS": "Check out the commit that the plan was made from, unchanged; the message names what differs.",
    "NO-COMPILE": "Run the job that compiles for this commit first; `buildonce explain` says why the key is a new one.",
    "MISSING-BLOBS": "Run the same command again: what the registry lost is sent once more.",
    "NOT-IN-STORE": "Something removed it, or it never came there; `buildonce verify` finds what else is missing.",
    "IMAGE-NOT-FOUND": "Check name, tag and platform in the FROM line.",
    "ERROR": "The message says what happened.",
}
"""What to do about each kind of error, by the code of its class."""


def message_of(code: str) -> tuple[str, str]:
    """Return the example of a code and the message that it gives. Raises `LookupError` if it does not give it."""
    if code in IGNORE_FILES:
        return IGNORE_FILES[code], _fault(code, lambda: compile_ignore(IGNORE_FILES[code]))
    if code in UNFINISHED:
        return UNFINISHED[code], _fault(code, lambda: append_stage(UNFINISHED[code], ["FROM scratch"]))
    text = EXAMPLES[code]
    try:
        dockerfile = parse_dockerfile(encode(text), "Dockerfile")
        graph = resolve_stages(dockerfile, build_args={}, target_platform=_LINUX, build_platform=_LINUX)
        for stage in graph.stages:
            evaluate_stage(graph, stage, BaseState())
    except SyntaxProblem as problem:
        if problem.diagnostics[0].code == code:
            return text, str(problem)
        raise LookupError(f"the example of {code} gives {problem.diagnostics[0].code}") from problem
    if code == UNDEFINED:  # a name that could be an image, and is none, shows only when it is asked for
        dependency = next(one for one in graph.dependencies if one.name == "builder")
        return text, render_diagnostic(undefined_stage_diagnostic(graph, dependency))
    raise LookupError(f"the example of {code} gives no error")


def _fault(code: str, act: Callable[[], object]) -> str:
    try:
        act()
    except Fault as fault:
        if fault.problem == code:
            return f"error[{code}]: {fault}"
    raise LookupError(f"the example of {code} does not give it")


def error_classes() -> Mapping[str, type[Error]]:
    """Return every class of errors by its code, its closest to the root for a code that is inherited."""
    for module in pkgutil.walk_packages(buildonce.__path__, "buildonce."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, type[Error]] = {}
    pending: list[type[Error]] = [Error]
    while pending:
        one = pending.pop(0)
        found.setdefault(one.code, one)
        pending += one.__subclasses__()
    return found


def render_pages() -> Mapping[str, str]:
    """Return every page by its file name."""
    classes = error_classes()
    pages = {f"{code}.md": _problem_page(code, meaning) for code, meaning in PROBLEMS.items()}
    pages |= {f"{code}.md": _class_page(code, one) for code, one in sorted(classes.items())}
    pages |= {f"{kind.value}.md": _finding_page(kind.value, meaning) for kind, meaning in MEANINGS.items()}
    lines = [f"* [{code}]({code}.md): {meaning}" for code, meaning in PROBLEMS.items()]
    others = [f"* [{code}]({code}.md): {_first(one)}" for code, one in sorted(classes.items())]
    found = [f"* [{kind.value}]({kind.value}.md): {meaning.what}" for kind, meaning in MEANINGS.items()]
    index = ["# Errors", "", "In a Dockerfile or an ignore file:", "", *lines, "", "Elsewhere:", "", *others, ""]
    index += ["Found by `buildonce verify`:", "", *found, ""]
    return {**pages, "README.md": "\n".join(index)}


def _problem_page(code: str, meaning: str) -> str:
    example, message = message_of(code)
    where = ".dockerignore" if code in IGNORE_FILES else "Dockerfile"
    return (
        f"# {code}: {meaning}\n\nFor example, this `{where}`:\n\n{_indented(escape_invalid(example))}\n\n"
        f"gives\n\n{_indented(message)}\n\nExit code 2. BuildKit refuses the same, unless "
        "[the list of differences](../../deviations.md#dockerfiles) says otherwise.\n"
    )


def _class_page(code: str, one: type[Error]) -> str:
    said = " ".join(inspect.cleandoc(one.__doc__ or "").split("\n\n")[0].replace("``", "`").split())
    return f"# {code}\n\n{said}\n\n{NEXT_STEPS[code]}\n\nExit code {one.exit_code}.\n"


def _finding_page(code: str, meaning: Meaning) -> str:
    return (
        f"# {code}: {meaning.what}\n\nFound by [`buildonce verify`](../../verify.md).\n\n"
        f"Why it matters: {meaning.why}.\n\nWhat to do: {meaning.help}.\n\nExit code 1.\n"
    )


def _first(one: type[Error]) -> str:
    return inspect.cleandoc(one.__doc__ or "").splitlines()[0].split(";")[0].rstrip(".")


def _indented(text: str) -> str:
    lines = (line if len(line) <= _WIDEST else f"{line[:_WIDEST]}..." for line in text.rstrip("\n").split("\n"))
    return "\n".join(f"    {line}".rstrip() for line in lines)


def main() -> int:
    """Write the pages, or with ``--check`` say which are out of date."""
    pages = render_pages()
    if "--check" in sys.argv:
        kept = {path.name: path.read_text() for path in FOLDER.iterdir()}
        stale = sorted(name for name in {*pages, *kept} if pages.get(name) != kept.get(name))
        for name in stale:
            print(f"{name} is out of date: run scripts/error_pages.py", file=sys.stderr)
        return int(bool(stale))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    for name, text in pages.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

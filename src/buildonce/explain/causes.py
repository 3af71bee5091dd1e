"""What is behind a difference, and what helps: the causes that come up again and again. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum

from msgspec import Struct

from buildonce.explain.differences import Difference, Kind, affected_runs, compare_accounts
from buildonce.plan.accounts import Account, StepAccount


class Cause(Enum):
    """A cause by its name."""

    BASE_ARGUMENT = "base replaced through a build argument"
    BASE_EDITED = "base changed in the Dockerfile"
    BASE_MOVED = "base tag moved"
    RESTLESS_ARGUMENT = "argument that changes every run"
    ARGUMENT = "build argument changed"
    ENVIRONMENT = "environment changed"
    EDIT_ABOVE = "Dockerfile edited above an expensive line"
    EDIT = "Dockerfile edited"
    UNTRACKED = "generated file not ignored, or not yet added to Git"
    NEW_FILE = "file newly in the context"
    REMOVED_FILE = "file no longer in the context"
    FILE = "file changed"
    PATHS = "other files are copied from the stage"
    FORMAT = "another version of buildonce"
    PLATFORM = "platform changed"


class Finding(Struct, frozen=True, kw_only=True):
    """A difference with its cause: what happened in one sentence, and what helps, if something does."""

    difference: Difference
    cause: Cause
    says: str
    help: str | None = None


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a node's key is another one: findings, most telling first, and the RUN instructions that run again."""

    findings: tuple[Finding, ...]
    reruns: tuple[StepAccount, ...]


def explain_difference(before: Account, after: Account, *, tracked: Collection[str] | None = None) -> Explanation:
    """Return why ``after`` has another key than ``before``.

    ``tracked`` are the context's files that Git knows, None where there is no Git.
    """
    reruns = affected_runs(before, after)
    findings = tuple(_find(one, reruns, tracked) for one in compare_accounts(before, after))
    # A file that no Git knows tells more than one that somebody edited, and a restless argument more than a set one.
    ranked = sorted(findings, key=lambda one: one.cause is not Cause.RESTLESS_ARGUMENT and one.cause in _PLAIN)
    return Explanation(findings=tuple(ranked), reruns=reruns)


_PLAIN = frozenset({Cause.FILE, Cause.NEW_FILE, Cause.REMOVED_FILE, Cause.ENVIRONMENT, Cause.PATHS, Cause.EDIT})


def _find(one: Difference, reruns: tuple[StepAccount, ...], tracked: Collection[str] | None) -> Finding:
    match one.kind:
        case Kind.BASE:
            return _base(one)
        case Kind.IMAGE:
            return Finding(
                difference=one,
                cause=Cause.BASE_MOVED,
                says=f"`{one.subject}` is another image now: {_short(one.before)} -> {_short(one.after)}",
                help="pin it by its digest (`name:tag@sha256:...`) to choose when it changes",
            )
        case Kind.INSTRUCTION:
            return _instruction(one, reruns)
        case Kind.ARGUMENT:
            return _argument(one)
        case Kind.FILE:
            return _file(one, tracked)
        case Kind.ENVIRONMENT:
            return Finding(difference=one, cause=Cause.ENVIRONMENT, says=f"{one.subject}: {_change(one)}")
        case Kind.PATHS:
            if one.before is not None and one.after is not None:
                return Finding(difference=one, cause=Cause.PATHS, says=f"{one.subject}: {_change(one)}")
            verb = "is copied now" if one.before is None else "is no longer copied"
            return Finding(difference=one, cause=Cause.PATHS, says=f"`{one.subject}` {verb} from `{one.stage}`")
        case Kind.FORMAT:
            return Finding(
                difference=one,
                cause=Cause.FORMAT,
                says=f"keys are made another way (format {_change(one)}): everything is built once more",
            )
        case Kind.PLATFORM:
            return Finding(difference=one, cause=Cause.PLATFORM, says=f"the platform: {_change(one)}")


def _base(one: Difference) -> Finding:
    if not one.arguments:
        return Finding(
            difference=one, cause=Cause.BASE_EDITED, says=f"`{one.stage}` starts from another image: {_change(one)}"
        )
    names = " and ".join(f"`{name}`" for name, _, _ in one.arguments)
    values = ", ".join(f"{name}={old or '(unset)'} -> {new or '(unset)'}" for name, old, new in one.arguments)
    return Finding(
        difference=one,
        cause=Cause.BASE_ARGUMENT,
        says=(
            f"the build argument {names} replaces the image that `{one.stage}` starts from ({values}): every COPY and "
            "RUN of the stage has other inputs and runs again, on top of the new image"
        ),
        help=(
            "if the new image already holds what the stage makes, do not build on it: copy from it "
            "(`COPY --from=<image>`), or have it stand in for the stage "
            f"(`--build-context {one.stage}=docker-image://<image>`)"
        ),
    )


def _instruction(one: Difference, reruns: tuple[StepAccount, ...]) -> Finding:
    if one.before is None:
        says = f"new: `{_line(one.after)}`"
    elif one.after is None:
        says = f"gone: `{_line(one.before)}`"
    else:
        says = f"`{_line(one.before)}` -> `{_line(one.after)}`"
    below = [step for step in reruns if step.line > one.line]
    if not below:
        return Finding(difference=one, cause=Cause.EDIT, says=says)
    return Finding(
        difference=one,
        cause=Cause.EDIT_ABOVE,
        says=f"{says}; what stands below it runs again, first `{_line(below[0].text)}` (line {below[0].line})",
        help="an instruction that the lines below do not need belongs below them",
    )


_RESTLESS_NAMES = re.compile(r"(?i)(commit|revision|\bsha|_sha|git|date|time|build_?(id|num|number)|run_?id|version)")
_RESTLESS_VALUES = (
    ("a commit id", re.compile(r"[0-9a-f]{7,40}")),
    ("a date", re.compile(r"\d{4}-\d\d-\d\d([T _].*)?|\d{8}([T_-]?\d{4,6}Z?)?|1[5-9]\d{8}(\d{3})?")),
    ("a number that counts up", re.compile(r"#?\d{1,8}")),
    ("what `git describe` prints", re.compile(r".*-\d+-g[0-9a-f]{7,}(-dirty)?")),
)


def restless_kind(name: str, before: str, after: str) -> str | None:
    """Return what the values of an argument look like, if they will be others in every run; None if they may stay."""
    for what, pattern in _RESTLESS_VALUES:
        if pattern.fullmatch(before) and pattern.fullmatch(after):
            if what.startswith("a number") and not _RESTLESS_NAMES.search(name):
                continue
            if what == "a commit id" and not re.search(r"\d", before + after):
                continue
            return what
    return None


def _argument(one: Difference) -> Finding:
    what = restless_kind(one.subject, one.before or "", one.after or "")
    says = f"the build argument `{one.subject}`: {_change(one)}"
    if what is None:
        return Finding(difference=one, cause=Cause.ARGUMENT, says=says)
    return Finding(
        difference=one,
        cause=Cause.RESTLESS_ARGUMENT,
        says=f"{says}; it looks like {what}, which is another one in every run",
        help=f"declare `ARG {one.subject}` below the last RUN that can do without it, or in the variants alone",
    )


_UNTRACKED_HELP = "if it is generated, put `{}` into the ignore file; if it is a source, `git add` it"


def _file(one: Difference, tracked: Collection[str] | None) -> Finding:
    if one.before is None:
        if tracked is not None and one.subject not in tracked and not (one.after or "").startswith("dir "):
            return Finding(
                difference=one,
                cause=Cause.UNTRACKED,
                says=f"`{one.subject}` is in the build context and Git does not know it",
                help=_UNTRACKED_HELP.format(one.subject),
            )
        return Finding(difference=one, cause=Cause.NEW_FILE, says=f"`{one.subject}` is new in the build context")
    if one.after is None:
        return Finding(
            difference=one, cause=Cause.REMOVED_FILE, says=f"`{one.subject}` is no longer in the build context"
        )
    (old_type, old_mode, old_content), (type_, mode, content) = one.before.split(" ", 2), one.after.split(" ", 2)
    if old_type != type_:
        what = f"is a {type_} now, it was a {old_type}"
    elif old_content == content:
        what = f"has another mode: {old_mode} -> {mode}"
    elif type_ == "symlink":
        what = f"leads elsewhere: {old_content} -> {content}"
    else:
        what = "has other content"
    if tracked is not None and one.subject not in tracked:
        return Finding(
            difference=one,
            cause=Cause.UNTRACKED,
            says=f"`{one.subject}` {what}, and Git does not know it",
            help=_UNTRACKED_HELP.format(one.subject),
        )
    return Finding(difference=one, cause=Cause.FILE, says=f"`{one.subject}` {what}")


def _change(one: Difference) -> str:
    before, after = ("(unset)" if value is None else value for value in (one.before, one.after))
    return f"{before} -> {after}"


def _short(digest: str | None) -> str:
    text = digest or ""
    return text[:19] if text.startswith("sha256:") else text[:12]


def _line(text: str | None) -> str:
    flat = " ".join((text or "").split())
    return flat if len(flat) <= 100 else f"{flat[:97]}..."

"""What is said of a build that failed: the engine's last lines, the stage, and how to repeat it by hand. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence

from buildonce.build_options import conceal_cache
from buildonce.dockerfile.runes import escape_invalid
from buildonce.engines.last_lines import LastLines
from buildonce.engines.protocol import BuildJob
from buildonce.errors import EngineFailed
from buildonce.plan.secrecy import hide_credentials, looks_secret

_OURS = (
    "--progress", "--provenance", "--sbom", "--output", "--force-rm", "--identity-label", "--pull", "--ignorefile",
    "--iidfile", "--file", "--target", "--cache-to",
)  # fmt: skip
"""Options by which buildonce gets a result into its own hands, and those that are said anew."""

_FAILED_LINE = re.compile(r"^(?:#\d+ )?Dockerfile:(\d+)$")
"""How BuildKit says where in the file it was given an instruction stands that failed."""

_CACHES = ("--cache-from", "--cache-to")
_OWN_SECRET = "id=buildonce,"  # noqa: S105


def build_failed(
    name: str, job: BuildJob, status: int, last: LastLines, command: str, *, notes: Sequence[str] = ()
) -> EngineFailed:
    """Return the error for a build that ended with this status; ``command`` repeats it, where one can."""
    said = "".join(f"\n  | {line}" for line in last.lines)
    heading = "; its last lines were:" if said else " and said nothing"
    stage = f"stage `{job.stage or job.target}`" if job.stage or job.target else "the last stage"
    where = f"{stage} of {job.path} for {job.platform}, context {job.context}"
    if _is_added(job, last.lines):
        # To build the stage alone would show nothing: it can be built.
        notes = (where, "the stage was built, but not all that is copied from it is there")
        help_ = f"nothing was tagged; correct the copies from {stage} that name what the lines above miss"
    else:
        notes = (where, *notes, *((f"to run it alone: {command}",) if command else ()))
        help_ = "nothing was tagged; the lines above name the instruction of your Dockerfile that failed"
    return EngineFailed(
        f"{name} failed ({job.activity.value} {job.node}, exit status {status}){heading}{said}",
        lines=last.lines,
        place=_place(job, last.lines),
        notes=notes,
        help=help_,
    )


def _is_added(job: BuildJob, lines: Sequence[str]) -> bool:
    """Say whether what failed is the stage that was added to the user's, which copies what is wanted out of another.

    BuildKit names the line, Buildah the instructions before it.
    """
    added = job.dockerfile.split("\n")[job.own_lines - 1 :]
    first = next((line.strip() for line in added if line.strip().endswith(f" AS {job.target}")), None)
    if first is None:
        return False
    named = [int(match[1]) for line in lines if (match := _FAILED_LINE.search(line))]
    return any(number > job.own_lines for number in named) or any(line.endswith(f": {first}") for line in lines)


def _place(job: BuildJob, lines: Sequence[str]) -> tuple[str, int] | None:
    """Return where the instruction stands that failed, if BuildKit names a line that is the user's own."""
    found = [int(match[1]) for line in lines if (match := _FAILED_LINE.search(line))]
    return (job.path, found[-1]) if found and found[-1] <= job.own_lines else None


def command_alone(program: str, arguments: Sequence[str], job: BuildJob, *, passing: str = "") -> str:
    """Return the command with which a user repeats a build on the original Dockerfile, quoted for a shell.

    ``arguments`` are those that the engine had. Named contexts in the folder ``passing``, which is gone by then, are
    left out: the stages that they stood for are built. A build argument that looks like a secret has to be in the
    environment, from where the engine takes it. A stage without a name cannot be asked for: the last one is built.
    """
    verb, *_, context = arguments
    words = [*program.split(), verb]
    if job.stage and not job.stage.isdecimal():
        words += ["--target", job.stage]
    names = frozenset(job.named_contexts)
    for option, value in _options(arguments[1:-1]):
        words += _repeated(option, value, names, passing)
    return escape_invalid(shlex.join((*words, "--file", job.path, context)))


def _options(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield options, each with its value if that is a word of its own."""
    for word, after in zip(words, (*words[1:], "--"), strict=True):
        if word.startswith("--"):
            yield word, None if after.startswith("--") else after


def _repeated(option: str, value: str | None, names: Collection[str], passing: str) -> tuple[str, ...]:
    """Return an option as a user gives it; nothing if it is not for a user to give."""
    if option.partition("=")[0] in _OURS or (value or "").startswith(_OWN_SECRET):
        return ()
    if value is None:
        return (option,)
    name, _, meant = value.partition("=")
    if option == "--build-arg" and (looks_secret(name) or hide_credentials(meant) != meant):
        return (option, name)
    if option in _CACHES:
        return (option, conceal_cache(value))
    if option == "--build-context" and (name not in names or (passing and passing in meant)):
        return ()
    return (option, hide_credentials(value))

"""Recipes of stages: what the files of a stage depend on, instruction by instruction."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from msgspec import Struct

from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.stages import Source
from buildonce.dockerfile.syntax import Add, Copy, Onbuild, Run, Workdir
from buildonce.oci import Digest
from buildonce.plan.recipes import StepRecipe

ContextDigest = Callable[[tuple[str, ...], tuple[str, ...]], Digest]
"""The digest of the context files that source words select, less the excluded ones."""

ReadKey = Callable[[Source], str]
"""What stands for the content of a stage or image that a step reads: a key or a digest."""


class Inputs(Struct, frozen=True, kw_only=True):
    """Where a step's recipe looks up what the step reads."""

    context: ContextDigest
    read: ReadKey


def describe_step(step: Step, inputs: Inputs, *, with_metadata: bool) -> StepRecipe | None:
    """Return a step's recipe; None for an instruction that only sets metadata, unless ``with_metadata``.

    Metadata that later instructions see (environment, user, working directory, shell) is in their own recipes.
    """
    match step.expanded:
        case Run() as run:
            return _describe_run(step, run, inputs)
        case Copy() as copy:
            return _describe_copy(step, copy, inputs)
        case Add() as add:
            return _describe_add(step, add, inputs)
        case Workdir():
            return StepRecipe(text=_text(step), workdir=step.workdir, user=step.user)
        case Onbuild():
            return StepRecipe(text=_text(step))
        case _:
            return StepRecipe(text=_metadata_text(step), workdir=step.workdir) if with_metadata else None


def describe_late_copy(step: Step, paths: tuple[str, ...]) -> StepRecipe:
    """Return the part of a late copy that a base depends on: not what is copied, but from where to where."""
    copy = step.expanded
    assert isinstance(copy, Copy)  # noqa: S101  a late copy is a COPY
    return StepRecipe(text=_copy_text(copy, paths), workdir=step.workdir)


def _describe_run(step: Step, run: Run, inputs: Inputs) -> StepRecipe:
    read: list[str] = []
    files = ""
    for mount in run.mounts:
        if mount.from_:
            read.append(inputs.read(_source(step, mount.from_)))
        elif mount.type == "bind":
            files += inputs.context((mount.source or ".",), ())
    flags = [f"--{flag.name}={flag.value}" for flag in run.instruction.flags]
    mounts = [f"--mount={_mount_text(mount.text, mount.from_)}" for mount in run.mounts]
    kept = [flag for flag in flags if not flag.startswith("--mount=")]
    command = run.command[0] if run.shell_form else repr(list(run.command))
    bodies = [f"<<{heredoc.name}\n{heredoc.text}" for heredoc in run.heredocs]
    return StepRecipe(
        text="\n".join((" ".join(("RUN", *mounts, *kept, command)), *bodies)),
        environment=dict(step.env),
        workdir=step.workdir,
        user=step.user,
        shell=(step.shell or ()) if run.shell_form else (),
        reads=tuple(read),
        files=files,
    )


def _mount_text(text: str, source: str) -> str:
    """Return a mount's options without the name of what it mounts: that is covered by its key."""
    if not source:
        return text
    return ",".join(part for part in text.split(",") if part.partition("=")[0].strip().lower() != "from")


def _describe_copy(step: Step, copy: Copy, inputs: Inputs) -> StepRecipe:
    if copy.from_ is not None:
        return StepRecipe(
            text=_copy_text(copy, copy.sources), workdir=step.workdir, reads=(inputs.read(_source(step, copy.from_)),)
        )
    files = inputs.context(copy.sources, copy.exclude) if copy.sources else ""
    return StepRecipe(text=_copy_text(copy, copy.sources), workdir=step.workdir, files=files)


def _copy_text(copy: Copy, sources: tuple[str, ...]) -> str:
    options = {"chown": copy.chown, "chmod": copy.chmod}
    flags = [f"--{name}={value}" for name, value in options.items() if value is not None]
    flags += [f"--{name}" for name, on in (("link", copy.link), ("parents", copy.parents)) if on]
    flags += [f"--exclude={pattern}" for pattern in copy.exclude]
    bodies = [f"<<{heredoc.name}\n{heredoc.text}" for heredoc in copy.heredocs]
    return "\n".join((" ".join(("COPY", *flags, *map(repr, sources), repr(copy.destination))), *bodies))


def _describe_add(step: Step, add: Add, inputs: Inputs) -> StepRecipe:
    local = tuple(source for source in add.sources if not _is_remote(source))
    flags = " ".join(f"--{flag.name}={flag.value}" for flag in add.instruction.flags)
    bodies = [f"<<{heredoc.name}\n{heredoc.text}" for heredoc in add.heredocs]
    words = " ".join(map(repr, (*add.sources, add.destination)))
    return StepRecipe(
        text="\n".join((f"ADD {flags} {words}", *bodies)),
        workdir=step.workdir,
        files=inputs.context(local, add.exclude) if local else "",
    )


def _source(step: Step, name: str) -> Source:
    """Return what a step means by ``--from=name`` or ``from=name``."""
    return next(dependency.source for dependency in step.dependencies if dependency.name == name)


def _is_remote(source: str) -> bool:
    return source.startswith(("http://", "https://", "git@", "git://", "ssh://"))


def _text(step: Step) -> str:
    match step.expanded:
        case Workdir(path=path):
            return f"WORKDIR {posixpath.join(step.workdir, path)}"
        case Onbuild(expression=expression):
            return f"ONBUILD {expression}"
        case _:
            return step.instruction.instruction.original


def _metadata_text(step: Step) -> str:
    """Return a metadata instruction with its variables put in: a changed argument it uses must change the text."""
    words: Mapping[str, object] = {
        name: getattr(step.expanded, name)
        for name in step.expanded.__struct_fields__
        if name != "instruction"
    }
    return f"{step.instruction.keyword} {words!r}"

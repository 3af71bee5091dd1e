"""Recipes of stages: what the files of a stage depend on, instruction by instruction.

An instruction's canonical text is its keyword and JSON of named values, variables put in. No name of a class or field
of this program is in it, so renaming one changes no key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.paths import join_workdir
from buildonce.dockerfile.runes import encode_json
from buildonce.dockerfile.stages import Source
from buildonce.dockerfile.syntax import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Label,
    Maintainer,
    Mount,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from buildonce.oci import Digest
from buildonce.plan.recipes import StepRecipe
from buildonce.plan.secrecy import Concealed, conceal

_WILD = re.compile(r"([*?\[\\])")
_REMOTE = ("http://", "https://", "git@", "git://", "ssh://")


class Reading(Struct, frozen=True, kw_only=True):
    """What an instruction takes from a stage, an image or a folder: source words, or all without any."""

    sources: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    parents: bool = False


_ALL = Reading()


class ContextDigest(Protocol):
    """Gives the digest of the context files that source words select, less the excluded ones."""

    def __call__(self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False) -> Digest:
        """Return it; raise `ContextError`."""
        ...


class ReadKey(Protocol):
    """Gives what stands for the content of a stage, image or named context that a step reads: a key or a digest."""

    def __call__(self, source: Source, reading: Reading = _ALL, /) -> str:
        """Return it; raise `ContextError`."""
        ...


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
        case Workdir(path=path):
            return StepRecipe(
                text=f"WORKDIR {_json(_concealed(step).within(join_workdir(step.workdir, path)))}", user=step.user
            )
        case Onbuild(expression=expression):
            return StepRecipe(text=f"ONBUILD {_json(_concealed(step).within(expression))}")
        case _:
            return StepRecipe(text=_metadata_text(step)) if with_metadata else None


def describe_late_copy(step: Step, paths: tuple[str, ...]) -> StepRecipe:
    """Return the part of a late copy that a base depends on: not what is copied, but from where to where."""
    copy = step.expanded
    assert isinstance(copy, Copy)  # noqa: S101  a late copy is a COPY
    return StepRecipe(text=_copy_text(step, copy, paths), workdir=step.workdir)


def unpinned_sources(step: Step) -> tuple[str, ...]:
    """Return the remote sources of an ADD whose content nothing in the Dockerfile pins."""
    add = step.expanded
    if not isinstance(add, Add) or add.checksum:
        return ()
    return tuple(source for source in add.sources if is_remote(source) and not is_commit(source))


def is_remote(source: str) -> bool:
    """Say whether a source word is an address and no path."""
    return source.startswith(_REMOTE)


def is_commit(address: str) -> bool:
    """Say whether an address names a Git commit by its whole digest."""
    return re.search(r"#(?:[0-9a-f]{40}|[0-9a-f]{64})(?::|$)", address) is not None


def _describe_run(step: Step, run: Run, inputs: Inputs) -> StepRecipe:
    reads: list[str] = []
    files: list[str] = []
    for mount in run.mounts:
        if mount.from_:
            source = _WILD.sub(r"\\\1", mount.source or ".")
            reads.append(inputs.read(_source(step, mount.from_), Reading(sources=(source,))))
        elif mount.type == "bind":
            files.append(inputs.context((_WILD.sub(r"\\\1", mount.source or "."),), ()))
    hidden = _concealed(step)
    flags = [f"--mount={_json(_mount_options(mount, hidden))}" for mount in run.mounts]
    if run.network != "default":
        flags.append(f"--network={_json(run.network)}")
    if run.security != "sandbox":
        flags.append(f"--security={_json(run.security)}")
    flags += [f"--device={_json({'name': one.name, 'required': one.required})}" for one in run.devices]
    command = run.command[0] if run.shell_form else _json(run.command)
    return StepRecipe(
        text="\n".join((" ".join(("RUN", *flags, command)), *_bodies(run.heredocs, Concealed()))),
        environment={name: conceal(name, value) for name, value in step.env.items()},
        workdir=step.workdir,
        user=step.user,
        shell=(step.shell or ()) if run.shell_form else (),
        reads=tuple(reads),
        files=" ".join(files),
    )


def _mount_options(mount: Mount, hidden: Concealed) -> Mapping[str, object]:
    """Return a mount's options. The name of what it mounts is left out, which is covered by content.

    Secrets, SSH agents and caches count by how they are mounted; what is in them never does.
    """
    options: dict[str, object] = {"type": mount.type, "readonly": mount.read_only}
    texts = {"source": mount.source, "target": mount.target, "id": mount.id, "sharing": mount.sharing}
    options |= {name: hidden.within(value) for name, value in texts.items() if value}
    numbers = {"mode": mount.mode, "uid": mount.uid, "gid": mount.gid, "env": mount.env}
    options |= {name: value for name, value in numbers.items() if value is not None}
    if mount.from_:
        options["from"] = True
    if mount.required:
        options["required"] = True
    if mount.size:
        options["size"] = mount.size
    return options


def _describe_copy(step: Step, copy: Copy, inputs: Inputs) -> StepRecipe:
    text = _copy_text(step, copy, copy.sources)
    if copy.from_ is not None:
        reading = Reading(sources=copy.sources, exclude=copy.exclude, parents=copy.parents)
        read = inputs.read(_source(step, copy.from_), reading)
        return StepRecipe(text=text, workdir=step.workdir, reads=(read,))
    files = inputs.context(copy.sources, copy.exclude, parents=copy.parents) if copy.sources else ""
    return StepRecipe(text=text, workdir=step.workdir, files=files)


def _copy_text(step: Step, copy: Copy, sources: tuple[str, ...]) -> str:
    parents = ["--parents"] if copy.parents else []
    return _transfer_text(step, copy, sources, parents)


def _describe_add(step: Step, add: Add, inputs: Inputs) -> StepRecipe:
    local = tuple(source for source in add.sources if not is_remote(source))
    own = {"checksum": add.checksum, "keep-git-dir": add.keep_git_dir, "unpack": add.unpack}
    flags = [f"--{name}={_json(value)}" for name, value in own.items() if value is not None]
    return StepRecipe(
        text=_transfer_text(step, add, add.sources, flags),
        workdir=step.workdir,
        files=inputs.context(local, add.exclude) if local else "",
    )


def _transfer_text(step: Step, copy: Copy | Add, sources: tuple[str, ...], own_flags: list[str]) -> str:
    """Return the canonical text of COPY or ADD; ``own_flags`` are those that the other of the two does not have."""
    hidden = _concealed(step)
    given = {"chown": copy.chown, "chmod": copy.chmod}
    flags = [f"--{name}={_json(hidden.within(value))}" for name, value in given.items() if value is not None]
    flags += [*(["--link"] if copy.link else []), *own_flags]
    flags += [f"--exclude={_json(pattern)}" for pattern in copy.exclude]
    words = _json([hidden.within(word) for word in (*sources, copy.destination)])
    return "\n".join((" ".join((copy.keyword, *flags, words)), *_bodies(copy.heredocs, hidden)))


def _bodies(heredocs: tuple[Heredoc, ...], hidden: Concealed) -> list[str]:
    """Return here-documents, each on a line of its own."""
    return [f"<<{heredoc.name} {_json(hidden.within(heredoc.text))}" for heredoc in heredocs]


def _source(step: Step, name: str) -> Source:
    """Return what a step means by ``--from=name`` or ``from=name``."""
    return next(dependency.source for dependency in step.dependencies if dependency.name == name)


def _concealed(step: Step) -> Concealed:
    """Return what hides the values of secret-looking variables that a step's words were expanded with."""
    return Concealed({name: step.env[name] for name in step.used if name in step.env})


def _metadata_text(step: Step) -> str:
    """Return a metadata instruction with its variables put in: a changed argument it uses must change the text."""
    hidden = _concealed(step)
    match step.expanded:
        case Env(pairs=pairs) | Label(pairs=pairs):
            value: object = [(hidden.within(name), conceal(name, hidden.within(text))) for name, text in pairs]
        case Arg(pairs=args):
            value = [(name, None if text is None else conceal(name, hidden.within(text))) for name, text in args]
        case Cmd(command=command, shell_form=shell_form) | Entrypoint(command=command, shell_form=shell_form):
            value = command[0] if shell_form else command
        case Expose(ports=ports):
            value = ports
        case Volume(paths=paths):
            value = [hidden.within(path) for path in paths]
        case User(user=user):
            value = hidden.within(user)
        case Stopsignal(signal=signal):
            value = signal
        case Shell(shell=shell):
            value = shell
        case Maintainer(name=name):
            value = name
        case Healthcheck() as check:
            value = {
                "test": check.test,
                "interval": check.interval,
                "timeout": check.timeout,
                "start-period": check.start_period,
                "start-interval": check.start_interval,
                "retries": check.retries,
            }
        case From() | Run() | Copy() | Add() | Workdir() | Onbuild():
            raise AssertionError(f"{step.instruction.keyword} is no metadata")
    return f"{step.instruction.keyword} {_json(value)}"


def _json(value: object) -> str:
    return encode_json(value).decode()

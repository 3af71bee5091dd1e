"""The differences between two accounts of a node: what of its inputs is another one, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from enum import Enum

from msgspec import Struct

from buildonce.plan.accounts import UNRESOLVED, Account, Read, StageAccount, StepAccount
from buildonce.plan.file_plans import FILES
from buildonce.plan.recipes import FileInput


class Kind(Enum):
    """What differs; in the order of how much it tells."""

    FORMAT = "format"
    PLATFORM = "platform"
    BASE = "base"
    IMAGE = "image"
    INSTRUCTION = "instruction"
    ARGUMENT = "argument"
    ENVIRONMENT = "environment"
    FILE = "file"
    PATHS = "paths"


class Difference(Struct, frozen=True, kw_only=True):
    """One input that is another one.

    ``subject`` names it: a file's path, an argument, an image, an instruction's line. ``before`` and ``after`` are what
    it was and is; None where there was or is none. ``stage`` and ``line`` say where it enters, ``dockerfile`` in which
    file. ``arguments`` are the build arguments that the subject is made of, before and after.
    """

    kind: Kind
    subject: str
    before: str | None
    after: str | None
    stage: str
    dockerfile: str
    line: int
    arguments: tuple[tuple[str, str, str], ...] = ()


def compare_accounts(before: Account, after: Account) -> tuple[Difference, ...]:
    """Return what differs, most telling first; nothing when both keys are the same."""
    if before.key == after.key and before.cores == after.cores:
        return ()
    comparison = _Comparison(before, after)
    found = [*comparison.node(), *comparison.stages(before.root, after.root)]
    order = list(Kind)
    distinct: dict[tuple[object, ...], Difference] = {}
    for one in found:
        distinct.setdefault((one.kind, one.subject, one.before, one.after), one)
    return tuple(sorted(distinct.values(), key=lambda one: order.index(one.kind)))


def affected_runs(before: Account, after: Account) -> tuple[StepAccount, ...]:
    """Return the RUN instructions of the node's own stage that run again: all from the first other input on."""
    old, new = before.stage, after.stage
    same = 0
    if old.origin == new.origin and old.platform == new.platform:
        for old_step, new_step in zip(old.steps, new.steps, strict=False):
            if old_step.recipe != new_step.recipe:
                break
            same += 1
    return tuple(step for step in new.steps[same:] if _keyword(step) == "RUN")


class _Comparison:
    def __init__(self, before: Account, after: Account) -> None:
        self.before = before
        self.after = after
        self.compared: set[tuple[str, str]] = set()

    def node(self) -> Iterator[Difference]:
        """Yield what differs of the node itself."""
        stage = self.after.stage
        pairs: tuple[tuple[Kind, str, object, object], ...] = (
            (Kind.FORMAT, "the way keys are made", self.before.format, self.after.format),
            (Kind.PLATFORM, "the platform", self.before.stage.platform, stage.platform),
        )
        for kind, subject, old, new in pairs:
            if old != new:
                yield _difference(kind, subject, str(old), str(new), stage, stage.line)
        parents = (self.before.with_parents, self.after.with_parents)
        if parents[0] != parents[1]:
            was, now = ("with them" if one else "without them" for one in parents)
            yield _difference(Kind.PATHS, "the directories on the way", was, now, stage, stage.line)
        if self.before.paths != self.after.paths:
            yield from self.paths(stage)
        old_cores = {core.name: core.key for core in self.before.cores}
        for core in self.after.cores:
            if core.name in old_cores:
                yield from self.stages(old_cores[core.name], core.key)

    def paths(self, stage: StageAccount) -> Iterator[Difference]:
        for path in self.after.paths:
            if path not in self.before.paths:
                yield _difference(Kind.PATHS, path, None, path, stage, stage.line)
        for path in self.before.paths:
            if path not in self.after.paths:
                yield _difference(Kind.PATHS, path, path, None, stage, stage.line)

    def stages(self, before: str, after: str) -> Iterator[Difference]:
        """Yield what differs between two stages and all that they depend on."""
        old, new = self.before.stages.get(before), self.after.stages.get(after)
        if before == after or old is None or new is None or (before, after) in self.compared:
            return
        self.compared.add((before, after))
        yield from self.bases(old, new)
        for name in sorted({*old.settings, *new.settings}):
            if old.settings.get(name) != new.settings.get(name):
                yield _difference(Kind.ENVIRONMENT, name, old.settings.get(name), new.settings.get(name), new, new.line)
        for old_step, new_step in _aligned(old.steps, new.steps):
            if old_step is None or new_step is None or old_step.recipe.text != new_step.recipe.text:
                yield from self.instruction(old_step, new_step, new)
            if old_step is not None and new_step is not None:
                yield from self.steps(old_step, new_step, old, new)

    def bases(self, old: StageAccount, new: StageAccount) -> Iterator[Difference]:
        if old.origin == new.origin:
            return
        if old.origin in self.before.stages and new.origin in self.after.stages:
            yield from self.stages(old.origin, new.origin)
            return
        if old.base == new.base:
            if old.platform != new.platform:
                return  # another platform has another image
            if any(origin.startswith(UNRESOLVED) for origin in (old.origin, new.origin)):
                return  # only the name is known, and it is the same
            yield from self.content(Read(new.base, old.origin), Read(new.base, new.origin), new, new.line)
            return
        names = {**old.arguments, **new.arguments}
        changed = tuple(
            (name, old.arguments.get(name, ""), new.arguments.get(name, ""))
            for name in names
            if old.arguments.get(name) != new.arguments.get(name) and name in (*old.given, *new.given)
        )
        is_argument = bool(changed) and old.written == new.written
        yield Difference(
            kind=Kind.BASE,
            subject=new.written,
            before=old.base,
            after=new.base,
            stage=new.name,
            dockerfile=new.dockerfile,
            line=new.line,
            arguments=changed if is_argument else (),
        )

    def instruction(
        self, old: StepAccount | None, new: StepAccount | None, stage: StageAccount
    ) -> Iterator[Difference]:
        line = new.line if new else stage.line if old is None else old.line
        before, after = (one.text if one else None for one in (old, new))
        if before == after and old is not None and new is not None:  # the same words, other values in them
            before, after = old.recipe.text, new.recipe.text
        yield _difference(Kind.INSTRUCTION, f"line {line}", before, after, stage, line)

    def steps(
        self, old: StepAccount, new: StepAccount, old_stage: StageAccount, stage: StageAccount
    ) -> Iterator[Difference]:
        """Yield what differs of the inputs of one instruction."""
        if old.recipe.files != new.recipe.files:
            yield from self.files(old.recipe.files, new.recipe.files, stage, new.line)
        yield from self.variables(old, new, old_stage, stage)
        settings = (
            ("the working directory", old.recipe.workdir, new.recipe.workdir),
            ("the user", old.recipe.user, new.recipe.user),
            ("the shell", " ".join(old.recipe.shell), " ".join(new.recipe.shell)),
        )
        for subject, before, after in settings:
            if before != after:
                yield _difference(Kind.ENVIRONMENT, subject, before, after, stage, new.line)
        for old_read, new_read in zip(old.reads, new.reads, strict=False):
            if old_read.key == new_read.key:
                continue
            if old_read.key in self.before.stages and new_read.key in self.after.stages:
                yield from self.stages(old_read.key, new_read.key)
            elif not any(read.key.startswith(UNRESOLVED) for read in (old_read, new_read)):
                yield from self.content(old_read, new_read, stage, new.line)

    def content(self, old: Read, new: Read, stage: StageAccount, line: int) -> Iterator[Difference]:
        """Yield what differs between two images, or folders, of one name."""
        if all(read.key.startswith(FILES) for read in (old, new)):
            yield from self.files(old.key, new.key, stage, line)
        else:
            yield _difference(Kind.IMAGE, new.name, old.key, new.key, stage, line)

    def variables(
        self, old: StepAccount, new: StepAccount, old_stage: StageAccount, stage: StageAccount
    ) -> Iterator[Difference]:
        before, after = old.recipe.environment, new.recipe.environment
        for name in sorted({*before, *after}):
            if before.get(name) == after.get(name):
                continue
            is_argument = name in old.args or name in new.args
            line = next(
                (
                    lines.lines[place]
                    for lines in (stage, old_stage)
                    for place in (f"ARG {name}", f"ENV {name}")
                    if place in lines.lines
                ),
                0,
            )
            if not line and old_stage.origin != stage.origin:
                continue  # another base brings other variables
            kind = Kind.ARGUMENT if is_argument else Kind.ENVIRONMENT
            yield _difference(kind, name, before.get(name), after.get(name), stage, line or new.line)

    def files(self, old: str, new: str, stage: StageAccount, line: int) -> Iterator[Difference]:
        before, after = _listed(self.before.files, old), _listed(self.after.files, new)
        for path in sorted({*before, *after}):
            if before.get(path) != after.get(path):
                yield _difference(Kind.FILE, path, _file(before.get(path)), _file(after.get(path)), stage, line)


def _aligned(
    before: Sequence[StepAccount], after: Sequence[StepAccount]
) -> Iterator[tuple[StepAccount | None, StepAccount | None]]:
    """Yield the steps of both sides, those that belong together in pairs."""
    texts = [[one.recipe.text for one in side] for side in (before, after)]
    for tag, first, last, start, end in SequenceMatcher(a=texts[0], b=texts[1], autojunk=False).get_opcodes():
        old, new = list(before[first:last]), list(after[start:end])
        if tag == "equal":
            yield from zip(old, new, strict=True)
            continue
        pairs = min(len(old), len(new))
        for old_step, new_step in zip(old[:pairs], new[:pairs], strict=True):
            if _keyword(old_step) == _keyword(new_step):
                yield old_step, new_step
            else:
                yield old_step, None
                yield None, new_step
        yield from ((one, None) for one in old[pairs:])
        yield from ((None, one) for one in new[pairs:])


def _keyword(step: StepAccount) -> str:
    return step.text.partition(" ")[0].upper()


def _listed(files: Mapping[str, tuple[FileInput, ...]], text: str) -> dict[str, FileInput]:
    """Return the files of all selections whose digests stand in ``text``, by path."""
    return {one.path: one for digest, listed in files.items() if digest in text for one in listed}


def _file(file: FileInput | None) -> str | None:
    return f"{file.type} {file.mode:o} {file.content}" if file else None


def _difference(
    kind: Kind, subject: str, before: str | None, after: str | None, stage: StageAccount, line: int
) -> Difference:
    return Difference(
        kind=kind,
        subject=subject,
        before=before,
        after=after,
        stage=stage.name,
        dockerfile=stage.dockerfile,
        line=line,
    )

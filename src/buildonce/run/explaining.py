"""[io] Explanations: the nodes that are asked for, what the cache has of them, and what they are compared with."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from buildonce.dockerfile.problems import suggest
from buildonce.errors import UsageError
from buildonce.explain.causes import Explanation, explain_difference
from buildonce.explain.differences import Difference, Kind
from buildonce.oci import parse_platform
from buildonce.plan.accounts import UNRESOLVED, Account, Accountant
from buildonce.plan.nodes import BaseOrigin, ImageNode
from buildonce.plan.recipes import Key
from buildonce.plan.verdicts import VerdictKind
from buildonce.run.git import read_committed, tracked_files
from buildonce.run.last_results import find_last
from buildonce.run.planned import Planned
from buildonce.store.protocol import Source
from buildonce.store.results import ResultName, find_result
from buildonce.store.streams import place_bytes
from buildonce.tasks import together

RECORD_SCHEMA = "buildonce.record/1"
_NO_DIFFS: Mapping[str, tuple[str, ...]] = MappingProxyType({})
_MOST_LINES = 12
_MOST_FILES = 5
_LARGEST_TEXT = 256 * 1024


class AccountRecord(Struct, frozen=True, kw_only=True):
    """What `buildonce plan --record` writes: the accounts of all nodes of a plan."""

    schema: str = RECORD_SCHEMA
    accounts: tuple[Account, ...]


class Against(Struct, frozen=True, kw_only=True):
    """What nodes are compared with: the accounts of another plan, and what to call it."""

    name: str
    accounts: tuple[Account, ...]

    def at(self, commit: str) -> Against:
        """Return the same, known to be of a Git commit."""
        return replace(self, accounts=tuple(replace(account, commit=commit) for account in self.accounts))

    def find(self, like: Account, others: Collection[str] = ()) -> Account | None:
        """Return the account of the same kind, name and platform, else the only one of that kind and name.

        Of several, which variants with arguments of their own bring about, the one with the same key, else one that is
        none of the ``others`` (keys), which are there still.
        """
        namesakes = [one for one in self.accounts if (one.kind, one.name) == (like.kind, like.name)]
        exact = [one for one in namesakes if one.platform == like.platform]
        exact.sort(key=lambda one: (one.key != like.key, one.key in others))
        return exact[0] if exact else (namesakes[0] if len(namesakes) == 1 else None)


class NodeExplanation(Struct, frozen=True, kw_only=True):
    """Why one node is, or is not, built again.

    ``is_there`` says that the cache has its result; None for an image, whose result depends on what its cores turn out
    to be. ``before`` is what it was compared with, None if there is nothing. ``diffs`` has a few lines for each changed
    text file whose old text is known.
    """

    account: Account
    is_there: bool | None
    against: str
    before: Account | None
    explanation: Explanation
    diffs: Mapping[str, tuple[str, ...]]


def accounts_of(planned: Planned, names: Sequence[str] = ()) -> tuple[Account, ...]:
    """Return the accounts of what an engine builds of a plan: all, or those that belong to ``names``.

    A name is that of a core, a base or a variant; a variant's own are its base, its cores, and itself if an engine
    builds it. Raises `UsageError` for a name that the plan does not have.
    """
    plan = planned.plan
    known = {*plan.variants, *(str(core.name) for core in plan.cores.values()), *(b.name for b in plan.bases.values())}
    for name in names:
        if name not in known:
            closest = suggest(name, sorted(known))
            raise UsageError(
                f"the plan has no core, base or variant called `{name}`",
                help=f"did you mean `{closest}`?" if closest else f"it has {', '.join(sorted(known))}",
            )
    wanted = [image for image in plan.images if not names or image.variant in names]
    by_name = {key for key, core in plan.cores.items() if not names or core.name in names}
    cores = by_name | {key for image in wanted for key in _cores(planned, image.cores.values())}
    bases = {key for key, base in plan.bases.items() if not names or base.name in names}
    bases |= {image.base for image in wanted}
    accountant = Accountant(planned.request, planned.graphs, planned.images)
    return (
        *(accountant.core(core) for key, core in plan.cores.items() if key in cores),
        *(
            accountant.base(base)
            for key, base in plan.bases.items()
            if key in bases and base.origin is BaseOrigin.ENGINE
        ),
        *(_image(accountant, planned, image) for image in wanted if image.verdict.kind is VerdictKind.ENGINE),
    )


def unresolved_images(planned: Planned) -> tuple[str, ...]:
    """Return the names of the external images that nobody could be asked for."""
    return tuple(sorted({name for (name, _), image in planned.images.items() if image.digest.startswith(UNRESOLVED)}))


def write_record(path: Path, planned: Planned) -> None:
    """Write the record of a plan to a file, whole or not at all."""
    record = AccountRecord(accounts=accounts_of(planned))
    place_bytes(path, msgspec.json.encode(record) + b"\n")


def read_record(path: Path) -> Against:
    """Return what `buildonce plan --record` wrote. Raises `UsageError` if it is not that."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=AccountRecord)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise UsageError(
            f"`{path}` is no record of a plan: {error}", help="`buildonce plan --record FILE` writes one"
        ) from error
    if record.schema != RECORD_SCHEMA:
        raise UsageError(f"`{path}` is a `{record.schema}`, not a `{RECORD_SCHEMA}`")
    return Against(name=f"the record {path.name}", accounts=record.accounts)


async def explain_accounts(
    accounts: Iterable[Account], planned: Planned, cache: Source, against: Against | None
) -> tuple[NodeExplanation, ...]:
    """Return why each is built again, compared with ``against``, else with the last result in the cache."""
    root = planned.project.context_root(0)
    tracked = await asyncio.to_thread(tracked_files, root)
    accounts = tuple(accounts)
    keys = frozenset(account.key for account in accounts)

    async def explain(account: Account) -> NodeExplanation:
        is_there = await _is_there(account, cache)
        before = against.find(account, keys) if against else await find_last(cache, account)
        found, diffs = Explanation(findings=(), reruns=()), _NO_DIFFS
        if before is not None:
            found = await asyncio.to_thread(explain_difference, before, account, tracked=tracked)
            diffs = await asyncio.to_thread(_diffs, found, before, root)
        name = against.name if against else f"the last result in {cache.name}"
        return NodeExplanation(
            account=account, is_there=is_there, against=name, before=before, explanation=found, diffs=diffs
        )

    return tuple(await together(explain(account) for account in accounts))


async def _is_there(account: Account, cache: Source) -> bool | None:
    if account.kind == "image":
        return None
    platform = parse_platform(account.platform)
    name = ResultName(kind=account.kind, name=account.name, platform=platform, key=account.key)
    return await find_result(cache, name) is not None


def _cores(planned: Planned, keys: Iterable[Key]) -> set[Key]:
    """Return the cores with those that they need."""
    found: set[Key] = set()
    pending = list(keys)
    while pending:
        key = pending.pop()
        if key not in found:
            found.add(key)
            pending += planned.plan.cores[key].needs.values()
    return found


def _image(accountant: Accountant, planned: Planned, image: ImageNode) -> Account:
    return accountant.image(image, {stage: planned.plan.cores[key] for stage, key in image.cores.items()})


def _diffs(found: Explanation, before: Account, root: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the beginnings of the diffs of changed text files, where Git has the old text."""
    changed = [one.difference for one in found.findings if one.difference.kind is Kind.FILE]
    diffs: dict[str, tuple[str, ...]] = {}
    for difference in changed:
        if len(diffs) < _MOST_FILES and before.commit and (lines := _diff(difference, before.commit, root)):
            diffs[difference.subject] = lines
    return diffs


def _diff(difference: Difference, commit: str, root: Path) -> tuple[str, ...]:
    if difference.before is None or difference.after is None or not difference.after.startswith("file "):
        return ()
    old = read_committed(root, commit, difference.subject)
    if old is None or not difference.before.endswith(hashlib.sha256(old).hexdigest()):
        return ()  # the file was not as the commit has it
    try:
        new = (root / difference.subject).read_bytes()
        before, after = old.decode().splitlines(), new.decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    if max(len(old), len(new)) > _LARGEST_TEXT or b"\0" in old + new:
        return ()
    lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
    left = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], f"... and {left} lines more") if left > 0 else tuple(lines)

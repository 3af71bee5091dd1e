"""Whether a job's checkout is the one that its plan was made from: same nodes, same keys; else, what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from buildonce.errors import PlanDiffers
from buildonce.explain.differences import Difference, compare_accounts
from buildonce.plan.accounts import Account, Accountant
from buildonce.plan.nodes import ImageNode, Plan
from buildonce.plan.recipes import Key, key_of
from buildonce.run.plan_file import DecidedNode, PlanFile, unpack_accounts
from buildonce.run.planned import Planned

_SHOWN = 12
"""How many differences an error lists."""

_Name = tuple[str, str, str]


def image_key(node: ImageNode) -> Key:
    """Return the key of an image's whole chain, what it takes from cores aside."""
    return key_of(node.recipe)


def keys_of(plan: Plan) -> Mapping[_Name, frozenset[str]]:
    """Return the keys of all nodes by kind, name and platform; variants with arguments of their own share names."""
    found: dict[_Name, set[str]] = {}
    for core in plan.cores.values():
        found.setdefault(("core", core.name, str(core.platform)), set()).add(core.key)
    for base in plan.bases.values():
        found.setdefault(("base", base.name, str(base.platform)), set()).add(base.key)
    for image in plan.images:
        found.setdefault(("image", image.variant, str(image.platform)), set()).add(image_key(image))
    return {name: frozenset(keys) for name, keys in found.items()}


def all_accounts(planned: Planned) -> tuple[Account, ...]:
    """Return the accounts of all cores, bases and images of a plan."""
    accountant, plan = Accountant(planned.request, planned.graphs, planned.images), planned.plan
    return (
        *(accountant.core(core) for core in plan.cores.values()),
        *(accountant.base(base) for base in plan.bases.values()),
        *(accountant.image(one, {stage: plan.cores[key] for stage, key in one.cores.items()}) for one in plan.images),
    )


def check_agreement(planned: Planned, file: PlanFile) -> None:
    """Raise `PlanDiffers`, naming what differs, unless a checkout gives the nodes and keys of the plan."""
    here, there = keys_of(planned.plan), _decided_keys(file.nodes)
    changed = [name for name in sorted({*here, *there}) if not _agrees(name, here, there)]
    if not changed:
        return
    names = ", ".join(f"{kind} {name} {platform}" for kind, name, platform in changed[:_SHOWN])
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    lines = [
        *(f"{_say(one)} is not in the plan" for one in changed if one not in there),
        *(f"{_say(one)} is in the plan alone" for one in changed if one not in here),
        *_differences(all_accounts(planned), unpack_accounts(file.accounts), changed),
    ]
    shown = list(dict.fromkeys(lines))
    left = len(shown) - _SHOWN
    raise PlanDiffers(
        f"this checkout is not the plan's: other keys for {names}{more}",
        notes=(
            *((f"the plan was made at the commit {file.commit[:12]}",) if file.commit else ()),
            *shown[:_SHOWN],
            *((f"and {left} more",) if left > 0 else ()),
        ),
        help="check out the commit that the plan was made from, unchanged, or make the plan again",
    )


def _agrees(name: _Name, here: Mapping[_Name, frozenset[str]], there: Mapping[_Name, frozenset[str]]) -> bool:
    """Say whether the keys of a name are the plan's.

    An image's keys cover all that is shipped. A plan leaves out cores and bases that nothing needs: of these, a
    checkout may have more.
    """
    wanted, found = there.get(name, frozenset()), here.get(name, frozenset())
    return wanted == found if name[0] == "image" else wanted <= found


def _decided_keys(nodes: Iterable[DecidedNode]) -> Mapping[_Name, frozenset[str]]:
    found: dict[_Name, set[str]] = {}
    for node in nodes:
        found.setdefault((node.kind, node.name, node.platform), set()).add(node.key)
    return {name: frozenset(keys) for name, keys in found.items()}


def _differences(here: Iterable[Account], there: Iterable[Account], changed: Iterable[_Name]) -> Iterator[str]:
    """Yield what differs between the accounts of nodes that have other keys, as `explain` names it."""
    before = {(one.kind, one.name, one.platform): one for one in there}
    names = set(changed)
    for after in here:
        name = (after.kind, after.name, after.platform)
        if name in names and name in before:
            yield from (_describe(one) for one in compare_accounts(before[name], after))


def _describe(one: Difference) -> str:
    where = f"{one.dockerfile}:{one.line}" if one.line else one.dockerfile
    before, after = (_short(text) if text is not None else "none" for text in (one.before, one.after))
    return f"{one.kind.value} {one.subject}: {before} in the plan, {after} here ({where})"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _say(name: _Name) -> str:
    kind, called, platform = name
    return f"the {kind} `{called}` for {platform}"

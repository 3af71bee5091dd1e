"""[io] What a job of a plan file works with: the plan's settings, this checkout, and the plan's places."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from buildonce.cli.wiring import Places, Wanted, open_configuration, open_targets, surroundings
from buildonce.events import Emit, Warned
from buildonce.project.layers import VARIABLES
from buildonce.project.toml import Configuration
from buildonce.run.building import Surroundings
from buildonce.run.making import Order, plan_as_decided
from buildonce.run.plan_file import PlanFile
from buildonce.run.plan_secrets import with_secrets
from buildonce.run.planned import Planned
from buildonce.run.project import OWN_FOLDER
from buildonce.store.opening import LayoutLocation, parse_store
from buildonce.store.protocol import Store

_EPOCH = "SOURCE_DATE_EPOCH"


@asynccontextmanager
async def carry_out(
    order: Order, arguments: Mapping[str, str], emit: Emit
) -> AsyncIterator[tuple[Planned, Surroundings, Mapping[str, Store]]]:
    """Give the plan of this checkout, which is the order's, what a run works with, and each variant's store.

    Raises `PlanDiffers` for another checkout, and what opening a project raises.
    """
    plan = order.plan
    wanted = _open(plan, arguments)
    _set_epoch(plan.epoch)
    async with surroundings(_places(plan), emit, _engine_of(wanted)) as around:
        planned = await plan_as_decided(wanted.project, wanted.request, order, around)
        for warning in planned.plan.warnings:
            emit(Warned(message=warning))
        locations = {variant.name: parse_store(variant.target) for variant in plan.variants}
        yield planned, around, open_targets(locations, around.session)


def _open(plan: PlanFile, arguments: Mapping[str, str]) -> Wanted:
    declaration = with_secrets(plan.declaration, plan.secrets, arguments, dict(os.environ))
    return open_configuration(Configuration(file=plan.file, declaration=declaration), plan.selected)


def _engine_of(wanted: Wanted) -> Configuration | None:
    """Return the configuration whose engine counts: the plan's, unless this machine asks for one."""
    return None if os.environ.get(VARIABLES["engine"]) else wanted.configuration


def _places(plan: PlanFile) -> Places:
    upper = LayoutLocation(Path(OWN_FOLDER) / "cache") if plan.cache_read_only else None
    return Places(target=plan.variants[0].target, cache=parse_store(plan.cache), upper=upper)


def _set_epoch(epoch: int | None) -> None:
    """Have engines see the plan's SOURCE_DATE_EPOCH, and no other."""
    os.environ.pop(_EPOCH, None)
    if epoch is not None:
        os.environ[_EPOCH] = str(epoch)

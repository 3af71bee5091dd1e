"""Whatever flips a key is named, and nothing else is."""

from __future__ import annotations

import pytest

from buildonce.explain.causes import explain_difference
from buildonce.plan.accounts import Account, Accountant
from tests.plan.projects import Made
from tests.plan.test_keys import IRRELEVANT, RELEVANT, Change, made


def accounts(one: Made) -> dict[str, Account]:
    accountant = Accountant(one.request, one.graphs, one.images)
    found = [*map(accountant.core, one.plan.cores.values()), *map(accountant.base, one.plan.bases.values())]
    return {str(account): account for account in found}


@pytest.mark.parametrize("change", [*RELEVANT.values(), *IRRELEVANT.values()], ids=[*RELEVANT, *IRRELEVANT])
def test_another_key_has_another_input(change: Change) -> None:
    before, after = accounts(made(change, before=True)), accounts(made(change, before=False))
    assert before.keys() == after.keys()
    for name, account in after.items():
        findings = explain_difference(before[name], account).findings
        assert bool(findings) == (before[name].key != account.key), name
        for one in findings:
            assert one.difference.before != one.difference.after
            assert one.difference.line > 0

"""Groups that take about equally long."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildonce.ci.groups import Group, Work, group_work, least_length, length, pack

MEASURED = (
    41.2, 38.9, 37.5, 36.1, 22.4, 21.9, 21.7, 19.3, 18.8, 18.2, 14.6, 12.9, 9.4, 8.8, 8.1, 7.7, 6.2, 5.9, 5.1, 4.4,
    3.8, 3.1, 2.9, 2.2, 1.9, 1.4, 1.1, 0.9, 0.7, 0.4,
)  # fmt: skip
"""Seconds like those of bases: a few that install much, many that make a directory."""

durations = st.lists(st.floats(0.1, 1000, allow_nan=False), min_size=1, max_size=60)


def works(seconds: Sequence[float], families: int = 0) -> tuple[Work, ...]:
    return tuple(
        Work(name=f"{number}", seconds=one, family=f"f{number % families}" if families else "")
        for number, one in enumerate(seconds)
    )


def longest(groups: Sequence[Group]) -> float:
    return max(map(length, groups))


def optimum(seconds: Sequence[float], number: int) -> float:
    """Return the shortest possible longest group, by trying all that could be shorter."""
    pieces = sorted(seconds, reverse=True)
    best = sum(pieces)

    def place(index: int, loads: tuple[float, ...]) -> None:
        nonlocal best
        if max(loads) >= best:
            return
        if index == len(pieces):
            best = max(loads)
            return
        for load in dict.fromkeys(loads):
            at = loads.index(load)
            place(index + 1, (*loads[:at], load + pieces[index], *loads[at + 1 :]))

    place(0, (0.0,) * number)
    return best


@given(
    seconds=st.lists(st.floats(0.1, 100), min_size=1, max_size=9), number=st.integers(1, 4), families=st.integers(0, 3)
)
@settings(max_examples=300, deadline=None)
def test_the_longest_group_is_within_a_fifth_of_the_best_possible(
    seconds: list[float], number: int, families: int
) -> None:
    groups = pack(works(seconds, families), number)
    assert longest(groups) <= 1.2 * optimum(seconds, number) + 1e-6
    assert least_length(works(seconds), number) <= optimum(seconds, number) + 1e-6


@pytest.mark.parametrize("number", range(1, 20))
@pytest.mark.parametrize("families", [0, 4])
def test_measured_durations_are_within_a_fifth_of_what_no_packing_can_be_under(number: int, families: int) -> None:
    pieces = works(MEASURED * 3, families)
    assert longest(pack(pieces, number)) <= 1.2 * least_length(pieces, number)


@given(seconds=durations, at_most=st.integers(1, 256), families=st.integers(0, 5))
@settings(deadline=None)
def test_all_work_is_in_one_group_and_no_group_is_empty(seconds: list[float], at_most: int, families: int) -> None:
    pieces = works(seconds, families)
    groups = group_work(pieces, at_most=at_most, worthwhile=60)
    assert sorted(one.name for group in groups for one in group) == sorted(one.name for one in pieces)
    assert 1 <= len(groups) <= at_most
    assert all(groups)


def test_the_order_in_which_work_comes_changes_nothing() -> None:
    pieces = works(MEASURED, 3)
    groups = group_work(pieces, at_most=256, worthwhile=20)
    assert groups == group_work(reversed(pieces), at_most=256, worthwhile=20)


def test_more_groups_than_shorten_the_whole_are_not_made() -> None:
    assert len(group_work(works([100, 1, 1, 1, 1]), at_most=256, worthwhile=10)) == 1, "it would save a 25th"
    assert len(group_work(works([100, 90, 90, 1]), at_most=256, worthwhile=10)) == 3
    assert len(group_work(works([1.0] * 60), at_most=256, worthwhile=120)) == 1
    assert len(group_work(works([60.0] * 1000), at_most=256, worthwhile=1)) == 250, "no group of 256 were shorter"
    assert group_work((), at_most=256, worthwhile=1) == ()


def test_what_shares_stages_is_in_one_group_where_that_costs_little() -> None:
    groups = pack(works([10.0] * 12, families=3), 3)
    assert [len({one.family for one in group}) for group in groups] == [1, 1, 1]


def test_a_family_that_is_longer_than_a_group_is_split() -> None:
    pieces = works([10.0] * 8, families=1)
    assert [length(group) for group in pack(pieces, 4)] == [20.0] * 4


def test_groups_are_the_longest_pieces_first() -> None:
    groups = pack(works(MEASURED), 5)
    for group in groups:
        assert all(one.seconds >= other.seconds for one, other in pairwise(group))

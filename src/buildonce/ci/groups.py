"""Groups of work that take about equally long: as few as make sense, what shares stages together. Pure.

The longest group is within 20 % of the best possible: MULTIFIT (Coffman, Garey and Johnson, 1978) is within 13/11 of it
for equal machines, and a packing that keeps families together is taken only if it is within 20 % of what no packing can
be under.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from msgspec import Struct

_ROUNDS = 24
"""How often MULTIFIT halves the interval of the capacity: far below a millisecond of any work."""

_SLACK = 1.2


class Work(Struct, frozen=True, kw_only=True):
    """Something to do in ``seconds``; what has the same ``family`` shares stages, which one machine builds once."""

    name: str
    seconds: float
    family: str = ""


Group = tuple[Work, ...]


def group_work(work: Iterable[Work], *, at_most: int, worthwhile: float) -> tuple[Group, ...]:
    """Return the work in groups, none empty, and no more of them than ``at_most``.

    There are as many as shorten the whole: more would not, since the longest piece of work takes as long, or since a
    group would take less than ``worthwhile`` seconds, which a machine's start is not worth.
    """
    pieces = tuple(sorted(work, key=_order))
    if not pieces:
        return ()
    whole = sum(one.seconds for one in pieces)
    unit = max(worthwhile, pieces[0].seconds)
    number = min(at_most, len(pieces), max(1, ceil(whole / unit)) if unit > 0 else 1)
    return pack(pieces, number)


def pack(work: Iterable[Work], number: int) -> tuple[Group, ...]:
    """Return the work in at most ``number`` groups, whose longest is within 20 % of the best possible."""
    pieces = tuple(sorted(work, key=_order))
    bins = _pack_families(pieces, number, _SLACK * least_length(pieces, number)) or _multifit(pieces, number)
    return tuple(tuple(one) for one in bins if one)


def length(group: Iterable[Work]) -> float:
    """Return how long a group takes."""
    return sum(one.seconds for one in group)


def least_length(work: Iterable[Work], number: int) -> float:
    """Return what the longest of ``number`` groups takes at least.

    It is no shorter than the mean, than the longest piece, or than the two shortest of the ``number + 1`` longest
    pieces, of which two have to share a group.
    """
    seconds = sorted((one.seconds for one in work), reverse=True)
    if not seconds:
        return 0.0
    pair = seconds[number - 1] + seconds[number] if len(seconds) > number else 0.0
    return max(sum(seconds) / number, seconds[0], pair)


def _order(one: Work) -> tuple[float, str]:
    return -one.seconds, one.name


def _multifit(pieces: Sequence[Work], number: int) -> list[list[Work]]:
    """Return the best of a longest-first packing, and of first-fit packings into ever smaller capacities."""
    best = _longest_first(pieces, number)
    low, high = least_length(pieces, number), max(map(length, best))
    for _ in range(_ROUNDS):
        capacity = (low + high) / 2
        found = _first_fit(pieces, number, capacity)
        if found is None:
            low = capacity
        else:
            best, high = found, max(map(length, found))
    return best


def _longest_first(pieces: Sequence[Work], number: int) -> list[list[Work]]:
    bins: list[list[Work]] = [[] for _ in range(number)]
    for piece in pieces:
        min(bins, key=length).append(piece)
    return bins


def _first_fit(pieces: Sequence[Work], number: int, capacity: float) -> list[list[Work]] | None:
    bins: list[list[Work]] = [[] for _ in range(number)]
    for piece in pieces:
        fitting = next((one for one in bins if length(one) + piece.seconds <= capacity), None)
        if fitting is None:
            return None
        fitting.append(piece)
    return bins


def _pack_families(pieces: Sequence[Work], number: int, capacity: float) -> list[list[Work]] | None:
    """Return a packing that splits few families, or None where this simple way finds none in ``capacity``."""
    families: dict[str, list[Work]] = {}
    for piece in pieces:
        families.setdefault(piece.family or piece.name, []).append(piece)
    bins: list[list[Work]] = [[] for _ in range(number)]
    for family in sorted(families.values(), key=length, reverse=True):
        for part in _parts(family, bins, capacity):
            fitting = [one for one in bins if length(one) + length(part) <= capacity]
            if not fitting:
                return None
            names = {piece.family or piece.name for piece in part}
            kin = [one for one in fitting if any((piece.family or piece.name) in names for piece in one)]
            max(kin or fitting, key=length).extend(part)
    return bins


def _parts(family: list[Work], bins: list[list[Work]], capacity: float) -> list[list[Work]]:
    """Return a family whole if it fits somewhere, else piece by piece."""
    room = capacity - min(map(length, bins))
    return [family] if length(family) <= room else [[piece] for piece in family]

"""Sets of positions in a text, for matching that takes no longer than the text's length times the pattern's.

A set is a number whose bit ``n`` stands before character ``n``, so an operation on all positions is one on few words.
"""

from __future__ import annotations

from collections.abc import Callable


def find_positions(text: str, is_wanted: Callable[[str], object]) -> int:
    """Return the positions before the characters that are wanted."""
    return int("".join("1" if is_wanted(character) else "0" for character in reversed(text)) or "0", 2)


def extend(positions: int, through: int) -> int:
    """Return the positions, and those that are reached from them through characters at ``through`` only."""
    # The carry of the addition runs from each position to the end of its run of characters.
    return positions | (((positions & through) + through) ^ through)


def highest(positions: int) -> int:
    """Return the last position, -1 of none."""
    return positions.bit_length() - 1


def lowest(positions: int) -> int:
    """Return the first position, -1 of none."""
    return highest(positions & -positions)

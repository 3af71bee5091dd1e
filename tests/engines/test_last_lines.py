"""The last lines of an engine's output."""

from __future__ import annotations

import re

import pytest

from buildonce.engines.last_lines import LastLines

PIPE = 'time="2026-11-30T16:42:36Z" level=error msg="write container stdin pipe: broken pipe"'


def last(*lines: str, noise: re.Pattern[str] | None = None, limit: int = 25) -> tuple[str, ...]:
    kept = LastLines(noise, limit=limit)
    for line in lines:
        kept.add(line)
    return kept.lines


def test_the_last_ones_are_kept_and_blank_ones_are_not() -> None:
    assert last("a", "", "b", "  ", "c", limit=2) == ("b", "c")


def test_a_repeated_line_is_one_and_says_how_often() -> None:
    assert last("cause", *["again"] * 100, "end", "again", limit=4) == ("cause", "again (100 times)", "end", "again")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('time="2026-11-30T16:42:36Z" level=error msg="lost"', 'time="2026-11-30T16:42:37Z" level=error msg="lost"'),
        ("#7 0.123 waiting", "#7 61.5 waiting"),
        ("#7 0.123 2026-11-30 16:42:36,123 waiting", "#7 0.456 2026-11-30 16:42:37,456 waiting"),
        ("2026-11-30T16:42:36.1Z waiting", "2026-11-30T16:42:37.1Z waiting"),
        ("[16:42:36] waiting", "[16:42:37] waiting"),
        ("[    0.000001] waiting", "[   10.000001] waiting"),
        ("0.123 waiting", "0.456 waiting"),
    ],
)
def test_lines_that_differ_in_their_time_alone_are_equal(first: str, second: str) -> None:
    assert last(first, second, second) == (f"{second} (3 times)",)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("#7 0.123 waiting", "#8 0.123 waiting"),
        ("1.5 GB", "1.5 MB"),
        ("#7 [2/3] RUN make", "#7 [3/3] RUN make"),
        ("left 3", "left 2"),
        ("0.1", "0.2"),
    ],
)
def test_other_lines_are_not(first: str, second: str) -> None:
    assert last(first, second) == (first, second)


def test_noise_is_counted_and_pushes_nothing_out() -> None:
    kept = LastLines(re.compile("broken pipe"), limit=2)
    for line in ("mknod: /zero: Operation not permitted", *[PIPE] * 14, "Error: building", PIPE):
        kept.add(line)
    assert kept.lines == ("mknod: /zero: Operation not permitted", "Error: building")
    assert kept.dropped == 15

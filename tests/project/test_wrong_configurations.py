"""What is said about a wrong buildonce.toml: the whole message, for every case of the table in tests/data."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.project.problems import ConfigurationProblem
from buildonce.project.toml import read_toml

TABLE = Path(__file__).parents[1] / "data" / "wrong-configurations.txt"


def read_table() -> dict[str, tuple[str, str]]:
    """Return text and message of each case, by the situation."""
    cases = {}
    for part in TABLE.read_text().removeprefix("=== ").split("\n=== "):
        situation, _, rest = part.partition("\n")
        text, _, message = rest.partition("---\n")
        cases[situation] = (text, message.rstrip("\n"))
    return cases


CASES = read_table()


@pytest.mark.parametrize("situation", CASES)
def test_the_message_is_exactly(situation: str) -> None:
    text, message = CASES[situation]
    with pytest.raises(ConfigurationProblem) as caught:
        read_toml(text)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_line_ends_of_windows_change_no_message() -> None:
    text, message = CASES["several at once"]
    with pytest.raises(ConfigurationProblem) as caught:
        read_toml(text.replace("\n", "\r\n"))
    assert str(caught.value) == message


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 40

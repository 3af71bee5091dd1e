"""What one run learned of a registry is known to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.run.capabilities import remembered
from buildonce.run.state import State
from buildonce.store.registry.capabilities import Capabilities

HOST = "https://registry.example"


def test_the_next_run_knows_what_this_one_learned(tmp_path: Path) -> None:
    with remembered(State(tmp_path)) as table:
        table.learn(HOST, Capabilities(single_post=True, chunk_min=5, min_interval=0.25))
    with remembered(State(tmp_path)) as table:
        assert table.of(HOST) == Capabilities(single_post=True, chunk_min=5, min_interval=0.25)
        assert not table.learned


def test_runs_at_the_same_time_keep_what_the_other_learned(tmp_path: Path) -> None:
    with remembered(State(tmp_path)) as one, remembered(State(tmp_path)) as two:
        one.learn(HOST, Capabilities(mount=True))
        two.learn(HOST, Capabilities(multi_tag=False))
    with remembered(State(tmp_path)) as table:
        assert table.of(HOST) == Capabilities(mount=True, multi_tag=False)


def test_a_run_that_fails_remembers_too(tmp_path: Path) -> None:
    def fail() -> None:
        with remembered(State(tmp_path)) as table:
            table.learn(HOST, Capabilities(mount=True))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with remembered(State(tmp_path)) as table:
        assert table.of(HOST).mount is True


def test_a_memory_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    with remembered(State(tmp_path)) as table:
        table.learn(HOST, Capabilities(mount=True))
    (memo,) = (tmp_path / "memos").rglob("*.json")
    memo.write_text("{")
    with remembered(State(tmp_path)) as table:
        assert table.of(HOST) == Capabilities()


def test_a_machine_that_cannot_remember_goes_on(tmp_path: Path) -> None:
    (tmp_path / "memos").write_text("in the way")
    with remembered(State(tmp_path)) as table:
        table.learn(HOST, Capabilities(mount=True))

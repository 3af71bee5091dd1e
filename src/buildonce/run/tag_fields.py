"""[io] What the fields of tag templates stand for, from Git and from what a CI service says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from buildonce.errors import NothingToFill, UsageError
from buildonce.run.git import all_tags, commit_id, current_branch, find_version, head, version
from buildonce.ship.latest import RELEASE, Branch, find_branch, moves_latest


class TagFields:
    """The commit that is checked out in a folder; each thing is asked for once, when it is used."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    def look_up(self, name: str) -> str:
        """Return ``version``, ``sha`` or ``branch`` as a part of a tag. Raises `NothingToFill` where there is none."""
        match name:
            case "sha":
                return commit_id(self._folder)
            case "version":
                return version(self._folder)
            case _:
                return self._branch_tag()

    def moves_latest(self, rule: str) -> bool:
        """Say whether the tag `latest` moves under a rule."""
        if rule == RELEASE:
            known = all_tags(self._folder)
            return moves_latest(rule, branch=None, version=find_version(self._folder), known=known)
        return moves_latest(rule, branch=self._branch if " " in rule else None, version=None)

    @cached_property
    def _branch(self) -> Branch | None:
        return find_branch(self._environment, commit=head(self._folder), checked_out=current_branch(self._folder))

    def _branch_tag(self) -> str:
        if self._branch is None:
            raise NothingToFill(
                "`{branch}` is the branch that is built, and no branch is checked out here",
                notes=("a commit by itself, or a tag, belongs to no branch",),
                help="check out a branch, or use {sha} or {version} in the template for tags",
            )
        if not self._branch.tag:
            raise UsageError(f"the branch `{self._branch.name}` has no letter or digit that a tag could have")
        return self._branch.tag

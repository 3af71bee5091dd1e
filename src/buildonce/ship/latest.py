"""When the tag `latest` is moved, and from which branch an image is built."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

NEVER, ALWAYS, RELEASE = "never", "always", "release"
_BRANCH = "branch "
_RELEASE = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


class Branch(Struct, frozen=True):
    """The branch that is built. ``is_proposed``: it is a pull request's, which may come from anybody."""

    name: str
    is_proposed: bool = False

    @property
    def tag(self) -> str:
        """The name as a part of a tag: what no tag can have is a dash. It may be empty."""
        return _UNSAFE.sub("-", self.name).strip("-.")


def find_branch(environment: Mapping[str, str], *, commit: str, checked_out: str) -> Branch | None:
    """Return the branch that is built, None where there is none (a tag, a commit by itself).

    CI services check out commits and not branches, and say the branch in the environment. What they say is about the
    commit that they name, and counts only if that is the ``commit`` in the working tree; else the branch counts that
    Git says is ``checked_out``. A pull request is one whatever is checked out.
    """
    proposed = (
        environment.get("GITHUB_HEAD_REF")
        or environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
        or environment.get("CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME")
    )
    if proposed:
        return Branch(proposed, is_proposed=True)
    said, about = _said(environment)
    if said and (not about or not commit or about == commit):
        return Branch(said)
    return Branch(checked_out) if checked_out else None


def _said(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the branch that a CI service names, and the commit that it speaks of."""
    if name := environment.get("GITHUB_REF_NAME"):
        is_branch = environment.get("GITHUB_REF_TYPE", "branch") == "branch"
        return (name if is_branch else "", environment.get("GITHUB_SHA", ""))
    if name := environment.get("CI_COMMIT_REF_NAME"):
        return ("" if environment.get("CI_COMMIT_TAG") else name, environment.get("CI_COMMIT_SHA", ""))
    return ("", "")


def moves_latest(rule: str, *, branch: Branch | None, version: str | None, known: Iterable[str] = ()) -> bool:
    """Say whether `latest` moves under a rule: ``never``, ``always``, ``release`` or ``branch NAME``.

    ``version`` is the Git tag of the commit that is built, ``known`` are all that the clone has. A pull request moves
    nothing, and neither does a pre-release, or a release when a higher one is there already.
    """
    if rule == RELEASE:
        number = release_number(version or "")
        return number is not None and all(number >= (release_number(one) or ()) for one in known)
    if rule.startswith(_BRANCH):
        return branch is not None and not branch.is_proposed and branch.name == rule.removeprefix(_BRANCH)
    return rule == ALWAYS


def release_number(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a version, None for a pre-release and for what is no version."""
    found = _RELEASE.fullmatch(version)
    return tuple(map(int, found[1].split("."))) if found else None

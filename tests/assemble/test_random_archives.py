"""Archives of members that were put together at random: refused, or a file system that hangs together."""

from __future__ import annotations

import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.assemble.archives import make_tar, member
from tests.fuzz.archives import fuzz_archive

NAMES = st.sampled_from(
    (
        "a",
        "a/b",
        "a/b/c",
        "b",
        "l",
        "l/x",
        "m/x",
        "a/../b",
        "/a",
        "./a/",
        ".wh.a",
        "a/.wh.b",
        "a/.wh..wh..opq",
        "l/.wh.b",
    )
)
TARGETS = st.sampled_from(("a", "b", "/a/b", "../../a", "l", "m", ".", "a/b/c", "/", "x/../l"))
KINDS = st.sampled_from(
    (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    """Draw a member of an archive whose names are few, so that they meet."""
    kind = draw(KINDS)
    return member(
        draw(NAMES),
        kind,
        mode=draw(st.sampled_from((0o644, 0o755, 0o4711, 0))),
        owner=(draw(st.sampled_from((0, 5, 3_000_000))), 0),
        link=draw(TARGETS) if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "",
        content=draw(st.sampled_from((b"", b"x", b"content"))) if kind == tarfile.REGTYPE else b"",
        device=draw(st.sampled_from(((0, 0), (1, 3)))),
    )


@settings(deadline=None, max_examples=300)
@given(st.lists(members(), max_size=12))
def test_members_at_random_are_refused_or_hang_together(some: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    fuzz_archive(make_tar(some))

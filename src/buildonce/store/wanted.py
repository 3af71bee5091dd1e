"""Images in stores, as people write them: ``oci:DIR`` or ``registry/repository``, with a tag, a pattern or a digest."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct

from buildonce.errors import UsageError
from buildonce.oci import Digest, parse_digest
from buildonce.reference import Repository, is_tag
from buildonce.store.opening import LayoutLocation, parse_store

_LAYOUT = "oci:"
_WILD = frozenset("*?[")


class Wanted(Struct, frozen=True, kw_only=True):
    """What a user asked for: a place, and of it one tag, those that match a pattern, one digest, or everything."""

    location: LayoutLocation | Repository
    tag: str | None = None
    digest: Digest | None = None

    @property
    def is_pattern(self) -> bool:
        """Say whether the store has to be asked what is meant."""
        return self.digest is None and (self.tag is None or bool(_WILD & set(self.tag)))

    def takes(self, tag: str) -> bool:
        """Say whether a tag of the store is one of those that were asked for."""
        return self.tag is None or self.tag == tag or (self.is_pattern and fnmatchcase(tag, self.tag))


def parse_wanted(text: str) -> Wanted:
    """Return what ``text`` asks for: ``oci:DIR`` or ``registry/repository``, with ``:TAG`` and ``@DIGEST`` if wanted.

    A tag may be a pattern (``*-1.4.2``). Raises `UsageError`.
    """
    rest, digest = text, None
    head, at, tail = text.rpartition("@")
    if at and ":" in tail and "/" not in tail:
        rest, digest = head, parse_digest(tail)
    folder, slash, last = rest.removeprefix(_LAYOUT).rpartition("/")
    name, colon, tag = last.rpartition(":")
    if not colon:
        return Wanted(location=parse_store(rest), digest=digest)
    if not name or not (is_tag(tag) or _is_pattern(tag)):
        raise UsageError(
            f"`{tag}` in `{text}` is no tag", help="a tag has letters, digits, `_`, `.` and `-`; `*` and `?` match any"
        )
    scheme = _LAYOUT if rest.startswith(_LAYOUT) else ""
    return Wanted(location=parse_store(f"{scheme}{folder}{slash}{name}"), tag=tag, digest=digest)


def _is_pattern(text: str) -> bool:
    return bool(_WILD & set(text)) and all(one.isalnum() or one in "_.-*?[]!" for one in text)

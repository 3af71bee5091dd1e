"""What registries can do beyond the minimum: learned from their answers, host by host, and never assumed.

What is remembered may be wrong or out of date. Wherever it is used, a wrong fact costs a request, and the answer to
that request corrects it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
from msgspec import Struct

from buildonce.store.registry.messages import Head, Kind, Request, Trial, whole_number

_DAY = 24 * 3600
_AGES = {True: 30 * _DAY, False: 7 * _DAY}
"""Seconds after which a yes and a no have to be learned again; a registry gains abilities more often than it loses."""

_AGE_OF_INTERVAL = 3600
_AGE_OF_NUMBERS = 30 * _DAY
_NOT_DONE = frozenset({202, 400, 405, 411, 413, 415, 416, 422, 501})
"""Statuses that say no to an upload in one request; others may have other reasons."""


class Capabilities(Struct, frozen=True, kw_only=True):
    """What is known of one host; None is unknown.

    ``single_post``: a blob may come in the request that would start its upload. ``mount``: blobs are taken from other
    repositories. ``anonymous_mount``: also when none is named. ``multi_tag``: one request sets several tags.
    ``referrers``: there is an API for them. ``chunk_min``: bytes that each part of an upload but the last must have.
    ``max_manifest``: bytes; a manifest with one more was refused. ``min_interval``: seconds from request to request.
    """

    single_post: bool | None = None
    mount: bool | None = None
    anonymous_mount: bool | None = None
    multi_tag: bool | None = None
    referrers: bool | None = None
    chunk_min: int | None = None
    max_manifest: int | None = None
    min_interval: float | None = None


UNKNOWN = Capabilities()


class Lesson(Struct, frozen=True):
    """One fact, and when it was last seen to hold, in seconds since 1970."""

    value: bool | int | float
    at: float


Memory = Mapping[str, Mapping[str, Lesson]]
"""Facts by host (scheme, name and port) and by their names in `Capabilities`."""


class CapabilityTable:
    """What is known of each host. ``memory`` is what earlier runs learned; ``now`` gives the seconds since 1970."""

    def __init__(self, memory: Memory = MappingProxyType({}), *, now: Callable[[], float]) -> None:
        self._now = now
        self._lessons = {host: _still_good(lessons, now()) for host, lessons in memory.items()}
        self._learned: dict[str, dict[str, Lesson]] = {}
        self._claimed: set[tuple[str, str]] = set()
        self._doubted: set[str] = set()

    def of(self, host: str) -> Capabilities:
        """Return what is known of a host."""
        lessons = self._lessons.get(host, {})
        known = Capabilities(**{name: lesson.value for name, lesson in lessons.items()})  # type: ignore[arg-type]
        return msgspec.structs.replace(known, single_post=False) if host in self._doubted else known

    def learn(self, host: str, facts: Capabilities) -> None:
        """Take in what an answer shows; what ``facts`` leaves open stays as it was."""
        now = self._now()
        for name, value in msgspec.structs.asdict(facts).items():
            if value is None:
                continue
            known = self._lessons.setdefault(host, {}).get(name)
            if known is None or known.value != value or now - known.at > _DAY:
                self._lessons[host][name] = Lesson(value, now)
                self._learned.setdefault(host, {})[name] = Lesson(value, now)

    def claim(self, host: str, name: str) -> bool:
        """Let the first who asks find out about something; the others meanwhile do without."""
        if (host, name) in self._claimed:
            return False
        self._claimed.add((host, name))
        return True

    def doubt(self, host: str) -> None:
        """For this run, rely on the host for nothing but the plainest upload: it lacks what it said it took."""
        self._doubted.add(host)

    @property
    def learned(self) -> Memory:
        """What this run learned or saw confirmed after a day or more; worth remembering."""
        return self._learned


def merge(memory: Memory, learned: Memory, *, now: float) -> Memory:
    """Return what to remember: ``memory`` as others may have left it meanwhile, with what a run learned."""
    hosts = {*memory, *learned}
    merged = {host: {**_still_good(memory.get(host, {}), now), **learned.get(host, {})} for host in hosts}
    return {host: lessons for host, lessons in sorted(merged.items()) if lessons}


def learned_from(request: Request, head: Head) -> Capabilities:
    """Return what the answer to a request shows of its host."""
    facts = _TRIALS[request.tries](head) if request.tries else UNKNOWN
    if head.status == 202 and request.method == "POST" and (least := head.header("oci-chunk-min-length")):
        facts = msgspec.structs.replace(facts, chunk_min=whole_number(least))
    if request.kind is Kind.MANIFEST and request.method == "PUT":
        if head.status == 413 and isinstance(request.body, bytes):
            facts = msgspec.structs.replace(facts, max_manifest=len(request.body) - 1)
        if head.header("oci-subject"):
            facts = msgspec.structs.replace(facts, referrers=True)
    return facts


def tags_created(head: Head) -> frozenset[str]:
    """Return the tags that a registry says it set with a manifest (distribution-spec, end-7b); none without a word."""
    return frozenset(tag.strip() for header in head.all("oci-tag") for tag in header.split(",") if tag.strip())


def _single_post(head: Head) -> Capabilities:
    no = False if head.status in _NOT_DONE else None
    return Capabilities(single_post=True if head.status == 201 else no)


def _mount(head: Head) -> Capabilities:
    return Capabilities(mount=True if head.status == 201 else None)


def _sure_mount(head: Head) -> Capabilities:
    return Capabilities(mount={201: True, 202: False}.get(head.status))


def _anonymous_mount(head: Head) -> Capabilities:
    return Capabilities(anonymous_mount=True if head.status == 201 else False if head.status in _NOT_DONE else None)


def _multi_tag(head: Head) -> Capabilities:
    return Capabilities(multi_tag=bool(tags_created(head)) if head.status in (200, 201, 202) else None)


def _referrers(head: Head) -> Capabilities:
    return Capabilities(referrers={200: True, 404: False}.get(head.status))


_TRIALS: Mapping[Trial, Callable[[Head], Capabilities]] = {
    Trial.SINGLE_POST: _single_post,
    Trial.MOUNT: _mount,
    Trial.SURE_MOUNT: _sure_mount,
    Trial.ANONYMOUS_MOUNT: _anonymous_mount,
    Trial.MULTI_TAG: _multi_tag,
    Trial.REFERRERS: _referrers,
}


def _still_good(lessons: Mapping[str, Lesson], now: float) -> dict[str, Lesson]:
    known = Capabilities.__struct_fields__
    return {name: lesson for name, lesson in lessons.items() if name in known and now - lesson.at < _age(name, lesson)}


def _age(name: str, lesson: Lesson) -> float:
    if name == "min_interval":
        return _AGE_OF_INTERVAL
    return _AGES[lesson.value] if isinstance(lesson.value, bool) else _AGE_OF_NUMBERS

"""[io] What is to be verified: what references that people write mean in a store."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from buildonce.errors import IntegrityError, UsageError
from buildonce.oci import Descriptor
from buildonce.ship.record import ReleaseRecord
from buildonce.store.layout import LayoutStore
from buildonce.store.layout_index import REF_NAME
from buildonce.store.opening import LayoutLocation, open_store, parse_store
from buildonce.store.protocol import Listed, Stored
from buildonce.store.registry import RegistrySession
from buildonce.store.wanted import Wanted, parse_wanted
from buildonce.tasks import together
from buildonce.verify.findings import Kind, Place
from buildonce.verify.ledger import Ledger

_VERSION = "1.0.0"


class _Marker(msgspec.Struct):
    version: str = msgspec.field(name="imageLayoutVersion")


class Target(Struct, frozen=True, kw_only=True):
    """One reference to verify.

    ``name`` is how people write it, ``asked`` the tag or digest to ask ``source`` for. ``listed`` is what a layout's
    index says of it, ``given`` the index itself where it is not in the store yet. ``is_chosen`` says that the user
    named it, and not a pattern that it matches.
    """

    name: str
    source: Listed
    asked: str
    tag: str | None = None
    listed: Descriptor | None = None
    given: Stored | None = None
    is_chosen: bool = True


async def find_all_targets(texts: Iterable[str], session: RegistrySession, ledger: Ledger) -> tuple[Target, ...]:
    """Return what ``texts`` ask for, each reference once. Raises `UsageError` and `StoreError`."""
    wanted = [parse_wanted(text) for text in texts]
    stores = {one.location: open_store(one.location, session, mirrored=False) for one in wanted}
    for place, store in stores.items():
        if isinstance(store, LayoutStore):
            _check_layout(store, ledger, is_there=isinstance(place, LayoutLocation) and place.path.is_dir())
    found = await together(find_targets(one, stores[one.location], ledger) for one in wanted)
    return tuple({target.name: target for targets in found for target in targets}.values())


def staged_targets(record: ReleaseRecord, session: RegistrySession) -> tuple[Target, ...]:
    """Return what a release that was staged will put under its tags."""
    stores = {name: open_store(parse_store(name), session, mirrored=False) for name in record.targets.values()}
    return tuple(
        Target(
            name=f"{index.target}@{index.digest}",
            source=stores[index.target],
            asked=index.digest,
            tag=index.tags[0].tag if index.tags else None,
            given=Stored(media_type=index.media_type, content=index.content.encode(), digest=index.digest),
            is_chosen=False,
        )
        for index in record.indexes
    )


def _check_layout(store: LayoutStore, ledger: Ledger, *, is_there: bool) -> None:
    if not is_there:
        raise UsageError(f"there is no folder `{store.path}`", help="write it as oci:DIR or oci:DIR:TAG")
    try:
        marker = msgspec.json.decode((store.path / "oci-layout").read_bytes(), type=_Marker)
        problem = "" if marker.version == _VERSION else f"`oci-layout` names the version `{marker.version[:40]}`"
    except OSError as error:
        problem = f"`oci-layout` cannot be read: {error.strerror}"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = f"`oci-layout` is not what it should be: {error}"
    if problem:
        ledger.find(Kind.LAYOUT_INVALID, problem, Place(reference=store.name))


async def find_targets(wanted: Wanted, source: Listed, ledger: Ledger) -> tuple[Target, ...]:
    """Return what is meant; what a pattern does not find, and what of a layout is odd, is reported."""
    if isinstance(source, LayoutStore):
        try:
            return _in_layout(wanted, source, await source.entries(), ledger)
        except IntegrityError as error:
            ledger.find(Kind.LAYOUT_INVALID, error.message, Place(reference=source.name))
            return ()
    if not wanted.is_pattern:
        return (_target(wanted, source, wanted.tag),)
    tags = [tag for tag in await source.tags() if wanted.takes(tag)]
    if not tags:
        pattern = f" that matches `{wanted.tag}`" if wanted.tag else ""
        ledger.find(Kind.TAG_MISSING, f"the repository has no tag{pattern}", Place(reference=source.name))
    return tuple(_target(wanted, source, tag, is_chosen=False) for tag in tags)


def _target(
    wanted: Wanted, source: Listed, tag: str | None, *, listed: Descriptor | None = None, is_chosen: bool = True
) -> Target:
    digest = wanted.digest or (listed.digest if listed and not tag else None)
    written = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    asked = digest or tag
    assert asked is not None  # noqa: S101  a target has a name
    return Target(
        name=f"{source.name}{written}", source=source, asked=asked, tag=tag, listed=listed, is_chosen=is_chosen
    )


def _in_layout(
    wanted: Wanted, source: LayoutStore, entries: Iterable[Descriptor], ledger: Ledger
) -> tuple[Target, ...]:
    named: dict[str | None, list[Descriptor]] = {}
    for entry in entries:
        named.setdefault((entry.annotations or {}).get(REF_NAME) or None, []).append(entry)
    if wanted.digest is not None:
        return (_target(wanted, source, wanted.tag),)
    matching = [tag for tag in named if tag is not None and wanted.takes(tag)]
    for tag in matching:
        if len({entry.digest for entry in named[tag]}) > 1:
            digests = tuple(entry.digest for entry in named[tag])
            place = Place(reference=f"{source.name}:{tag}")
            ledger.find(Kind.TAG_AMBIGUOUS, f"{len(digests)} entries have the tag `{tag}`", place, *digests)
    found = [_target(wanted, source, tag, listed=named[tag][0], is_chosen=not wanted.is_pattern) for tag in matching]
    if wanted.tag is None:
        # What has no tag was put there by other tools, and is what they mean when a layout holds one image.
        found += [_target(wanted, source, None, listed=entry, is_chosen=False) for entry in named.get(None, ())]
    if not found:
        what = f"no entry with the tag `{wanted.tag}`" if wanted.tag else "no entry"
        ledger.find(Kind.TAG_MISSING, f"the layout's index has {what}", Place(reference=source.name))
    return tuple(found)

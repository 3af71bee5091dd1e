"""What can be wrong with a release, as values; what each kind of finding means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace


class Kind(Enum):
    """The kinds of finding; the value is the code that people see."""

    LAYOUT_INVALID = "VERIFY-LAYOUT"
    TAG_MISSING = "VERIFY-TAG-MISSING"
    TAG_AMBIGUOUS = "VERIFY-TAG-AMBIGUOUS"
    TAG_MOVED = "VERIFY-TAG-MOVED"
    NOT_AN_IMAGE = "VERIFY-NOT-AN-IMAGE"
    MANIFEST_MISSING = "VERIFY-MANIFEST-MISSING"
    MANIFEST_DIGEST = "VERIFY-MANIFEST-DIGEST"
    MANIFEST_SIZE = "VERIFY-MANIFEST-SIZE"
    MANIFEST_INVALID = "VERIFY-MANIFEST-INVALID"
    MEDIA_TYPE = "VERIFY-MEDIA-TYPE"
    TOO_MUCH = "VERIFY-TOO-MUCH"
    PLATFORM_MISSING = "VERIFY-PLATFORM-MISSING"
    PLATFORM_TWICE = "VERIFY-PLATFORM-TWICE"
    PLATFORM_WRONG = "VERIFY-PLATFORM-WRONG"
    UNREADABLE = "VERIFY-UNREADABLE"
    BLOB_MISSING = "VERIFY-BLOB-MISSING"
    BLOB_SIZE = "VERIFY-BLOB-SIZE"
    BLOB_DIGEST = "VERIFY-BLOB-DIGEST"
    CONFIG_INVALID = "VERIFY-CONFIG"
    LAYER_COUNT = "VERIFY-LAYER-COUNT"
    HISTORY_COUNT = "VERIFY-HISTORY-COUNT"
    LAYER_BROKEN = "VERIFY-LAYER-BROKEN"
    LAYERS_CLASH = "VERIFY-LAYERS-CLASH"
    DIFF_ID = "VERIFY-DIFF-ID"
    CORE_RECORD = "VERIFY-CORE-RECORD"
    CORE_MISSING = "VERIFY-CORE-MISSING"
    CORE_DIFFERS = "VERIFY-CORE-DIFFERS"
    UNFIT = "VERIFY-UNFIT"
    REBUILD_FAILED = "VERIFY-REBUILD-FAILED"
    REBUILD_DIFFERS = "VERIFY-REBUILD-DIFFERS"


class Meaning(Struct, frozen=True):
    """A kind of finding in general: what it is, why it matters, and what to do next."""

    what: str
    why: str
    help: str


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where something was found.

    ``reference`` is what a user can ask the store for, ``subject`` a part of it (``layer 3 of 5, sha256:...``) and
    ``path`` a file.
    """

    reference: str
    platform: str = ""
    subject: str = ""
    path: str = ""

    def at(self, subject: str, path: str = "") -> Place:
        """Return a place inside of this one."""
        return replace(self, subject=subject, path=path)

    def rank(self, order: Mapping[str, int]) -> tuple[int, str, str, str]:
        """Return what places are sorted by; ``order`` is that of references, what is of none of them comes first."""
        return order.get(self.reference, -1), self.platform, self.subject, self.path

    def __str__(self) -> str:
        return "  ".join(part for part in (self.reference, self.platform, self.subject, self.path) if part)


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is wrong.

    ``notes`` are what else is known of it, ``also`` the other images that it hits, ``cure`` what to do if that is
    another thing than for others of its kind.
    """

    kind: Kind
    message: str
    place: Place
    notes: tuple[str, ...] = ()
    also: tuple[Place, ...] = ()
    cure: str = ""

    @property
    def why(self) -> str:
        """Why it matters."""
        return MEANINGS[self.kind].why

    @property
    def help(self) -> str:
        """What to do next."""
        return self.cure or MEANINGS[self.kind].help


class Remark(Struct, frozen=True, kw_only=True):
    """Something that is not wrong and that a reader should know."""

    message: str
    place: Place


_REPUSH = "ship the release again: `buildonce build` sends what is missing; if it comes back, the store is damaged"
_STORE = "the store is damaged, or something between you and it changes bytes: restore it, or delete and ship again"
_MADE = "have the image made and pushed again with another version of the tool that made it"

MEANINGS: Mapping[Kind, Meaning] = {
    Kind.LAYOUT_INVALID: Meaning(
        "the folder is no valid OCI image layout",
        "other tools refuse it",
        "look at its `oci-layout` and `index.json`, or write the layout anew",
    ),
    Kind.TAG_MISSING: Meaning(
        "the store has nothing under this name",
        "whoever pulls it gets an error",
        "check the name; if it is right, the release is incomplete: ship it again",
    ),
    Kind.TAG_AMBIGUOUS: Meaning(
        "a layout has several entries under one tag",
        "which of them a tool takes is chance",
        "write the layout anew, or remove all but one of the entries from its `index.json`",
    ),
    Kind.TAG_MOVED: Meaning(
        "the tag does not point to the digest that stands beside it",
        "somebody moved the tag, or it was never moved to this release",
        "find out who ships to this tag; ship again, or correct the digest",
    ),
    Kind.NOT_AN_IMAGE: Meaning(
        "what has this name is no image",
        "it cannot be pulled and run",
        "check the name; artifacts such as signatures and charts are not verified",
    ),
    Kind.MANIFEST_MISSING: Meaning(
        "an index refers to a manifest that is not there",
        "the image cannot be pulled for this platform",
        _REPUSH,
    ),
    Kind.MANIFEST_DIGEST: Meaning(
        "a manifest or index has other content than its digest says",
        "clients refuse it, or run something that nobody released",
        _STORE,
    ),
    Kind.MANIFEST_SIZE: Meaning(
        "a manifest has another size than what refers to it says",
        "clients that compare sizes refuse the image",
        _MADE,
    ),
    Kind.MANIFEST_INVALID: Meaning(
        "a document is neither an image manifest nor an image index",
        "the image cannot be pulled",
        _MADE,
    ),
    Kind.MEDIA_TYPE: Meaning(
        "media types are unknown, or do not fit each other or the content",
        "some clients and registries refuse the image, others read it in another way",
        _MADE,
    ),
    Kind.TOO_MUCH: Meaning(
        "there is more than any image has, and the rest was not looked at",
        "clients have limits too; this looks like an attack or a broken tool",
        "look at who pushed it",
    ),
    Kind.PLATFORM_MISSING: Meaning(
        "an image lacks a platform",
        "machines of that platform cannot pull it, though they can pull the rest of the release",
        "ship all platforms of this variant; if that is on purpose, verify it apart from the others",
    ),
    Kind.PLATFORM_TWICE: Meaning(
        "an index has several images for one platform",
        "clients take the first, and what the other is for is unclear",
        "ship the index again; two jobs that each add to one tag do this",
    ),
    Kind.PLATFORM_WRONG: Meaning(
        "an image's config names another platform than the index does",
        "machines pull an image that is not for them, or refuse the one that is",
        "build it again for its platform; a missing `--platform` in FROM or build is the usual cause",
    ),
    Kind.UNREADABLE: Meaning(
        "the registry fails whenever it is asked for this, and answers for the rest",
        "the image cannot be pulled",
        "the registry's log has the reason, often damage on its disk: restore it, or delete and ship again",
    ),
    Kind.BLOB_MISSING: Meaning(
        "a layer or config is not there",
        "the image cannot be pulled",
        _REPUSH,
    ),
    Kind.BLOB_SIZE: Meaning(
        "a layer or config has another size than its manifest says",
        "the pull fails, or stops half-way",
        _STORE,
    ),
    Kind.BLOB_DIGEST: Meaning(
        "a layer or config has other content than its digest says",
        "clients refuse it at the end of the pull",
        _STORE,
    ),
    Kind.CONFIG_INVALID: Meaning(
        "the image's config is not what the specification says",
        "the image cannot be unpacked or run",
        _MADE,
    ),
    Kind.LAYER_COUNT: Meaning(
        "manifest and config have different numbers of layers",
        "the image cannot be unpacked",
        _MADE,
    ),
    Kind.HISTORY_COUNT: Meaning(
        "the history does not account for the layers",
        "scanners and `docker history` attribute files to the wrong instruction; buildonce cannot use it as a base",
        _MADE,
    ),
    Kind.LAYER_BROKEN: Meaning(
        "a layer has its digest and yet is no archive that can be unpacked",
        "the pull succeeds and the unpacking fails",
        "the bytes were broken before they were pushed: make the image again",
    ),
    Kind.LAYERS_CLASH: Meaning(
        "a layer cannot be applied on top of those below it",
        "the pull succeeds and the unpacking fails",
        _MADE,
    ),
    Kind.DIFF_ID: Meaning(
        "a layer does not unpack to what the config says",
        "containerd and Docker refuse the image after they have pulled it",
        _MADE,
    ),
    Kind.CORE_RECORD: Meaning(
        "what the index says of its images' cores cannot be right",
        "it cannot be told whether the variants have the same core",
        "ship the release again with this version of buildonce, or name the files with `--core`",
    ),
    Kind.CORE_MISSING: Meaning(
        "no image has the file that was to be compared",
        "nothing was compared",
        "check the path that was given with `--core`",
    ),
    Kind.CORE_DIFFERS: Meaning(
        "variants of one release have different builds of the same file",
        "some of them run old or other code: a part of the release was shipped at another time, or not at all",
        "ship all variants together; if they are meant to differ, verify them apart from each other",
    ),
    Kind.UNFIT: Meaning(
        "a file of a core cannot run in the image that has it",
        "the container ends as soon as it starts, or when it calls the program",
        "compile it for this platform and this base; [docs/fit.md](../../fit.md) has what is checked",
    ),
    Kind.REBUILD_FAILED: Meaning(
        "an engine cannot build the variant from its Dockerfile",
        "nobody can tell whether what was shipped is what the Dockerfile makes",
        "the engine's last lines say what failed; `docker buildx build --target` tries it alone",
    ),
    Kind.REBUILD_DIFFERS: Meaning(
        "what was shipped is not what an engine makes of the Dockerfile",
        "what runs is not what the source says: another commit, another base, other arguments, or a mistake",
        "check out what was shipped and give the same arguments; what then still differs cannot be built twice alike",
    ),
}

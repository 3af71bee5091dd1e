"""The JSON that commands print: versioned shapes, from which the published schemas are generated.

A change that breaks readers raises the number in ``schema``; a new optional field does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from buildonce.oci import Digest
from buildonce.run.plan_file import Made, PlanFile
from buildonce.ship.record import ReleaseRecord

PLAN_SCHEMA = "buildonce.plan/1"
OUTCOME_SCHEMA = "buildonce.outcome/1"
EXPLANATION_SCHEMA = "buildonce.explanation/1"
VERIFICATION_SCHEMA = "buildonce.verification/1"
RELEASED_SCHEMA = "buildonce.released/1"
CHECKUP_SCHEMA = "buildonce.checkup/1"
COPY_SCHEMA = "buildonce.copy/1"
CONFIGURATION_SCHEMA = "buildonce.configuration/1"
MATRIX_SCHEMA = "buildonce.matrix/1"


class PlannedCore(msgspec.Struct, frozen=True, kw_only=True):
    """A core: ``action`` is ``reuse``, ``compile``, or ``read`` for given files."""

    name: str
    platform: str
    key: str
    paths: tuple[str, ...]
    action: str
    reason: str


class PlannedBase(msgspec.Struct, frozen=True, kw_only=True):
    """A base: ``origin`` is ``engine``, ``image`` or ``scratch``; ``action`` is ``reuse``, ``build`` or ``read``.

    ``proof`` says that it would be compared with a faithful build; ``proven`` what an earlier comparison showed, null
    without one. ``reason`` has its day, and what differs.
    """

    name: str
    platform: str
    key: str
    origin: str
    action: str
    proof: bool
    reason: str
    proven: bool | None = None


class PlannedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image: ``verdict`` is ``assemble``, ``prove`` or ``engine``; ``base`` and ``cores`` are keys."""

    variant: str
    platform: str
    verdict: str
    base: str
    cores: tuple[str, ...]
    action: str
    reason: str


class PlanDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce plan --json`` prints. ``engine_runs`` and ``compiles`` count what a build would start.

    ``linked`` are images of other targets that something is built on; they are not shipped.
    """

    schema: str = PLAN_SCHEMA
    cache: str
    engine_runs: int
    compiles: int
    cores: tuple[PlannedCore, ...]
    bases: tuple[PlannedBase, ...]
    images: tuple[PlannedImage, ...]
    warnings: tuple[str, ...]
    linked: tuple[PlannedImage, ...] = ()


class BuiltImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image: ``made`` is ``assembled``, ``built`` or ``reused``; ``pushed`` says that its manifest was sent.

    ``fit`` says whether the files that it was given run in it: ``fits``, ``machine`` (only their machine code was
    checked), ``nothing`` (there are none), or ``off`` (it was not checked).
    """

    variant: str
    platform: str
    made: str
    verdict: str
    reason: str
    digest: str
    pushed: bool
    fit: str


class BuiltTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag in the store ``target`` and its index; ``outcome`` is ``created``, ``moved`` or ``unchanged``."""

    target: str
    variant: str
    tag: str
    digest: str
    outcome: str


class BuiltRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an engine: ``activity`` is ``compile``, ``base``, ``prove`` or ``build``."""

    activity: str
    node: str
    seconds: float


class BuiltProof(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison of what assembly gives on a base with a faithful build; ``reason`` says why they are not equal."""

    base: str
    platform: str
    equal: bool
    reason: str


class OutcomeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce build --json`` prints. Bytes are those of request and response bodies.

    ``loaded`` are the names of images in the local engine.
    """

    schema: str = OUTCOME_SCHEMA
    target: str
    images: tuple[BuiltImage, ...]
    tags: tuple[BuiltTag, ...]
    engine_runs: tuple[BuiltRun, ...]
    proofs: tuple[BuiltProof, ...] = ()
    requests: int
    bytes_up: int
    bytes_down: int
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]
    loaded: tuple[str, ...] = ()


class ExplainedInput(msgspec.Struct, frozen=True, kw_only=True):
    """A difference: ``kind`` is what sort of input ``subject`` is, ``cause`` what is behind it.

    ``before`` and ``after`` are null where there was or is none. ``diff`` has a few lines of a text file's changes.
    """

    kind: str
    cause: str
    subject: str
    before: str | None
    after: str | None
    stage: str
    dockerfile: str
    line: int
    says: str
    help: str | None
    diff: tuple[str, ...]


class ExplainedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A core, base or engine-built image. ``status`` is ``new``, ``same``, ``changed`` or ``unknown``.

    ``cached`` says whether its result is in the cache (null for an image); ``against`` what it was compared with,
    ``before`` the key there. ``reruns`` are the RUN instructions that run again.
    """

    kind: str
    name: str
    platform: str
    key: str
    cached: bool | None
    status: str
    against: str
    before: str | None
    inputs: tuple[ExplainedInput, ...]
    reruns: tuple[str, ...]


class ExplanationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce explain --json`` prints."""

    schema: str = EXPLANATION_SCHEMA
    nodes: tuple[ExplainedNode, ...]


class VerifiedCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A layer (counted from 0) that holds files of a core, as the index says it."""

    core: str
    layer: int
    sources: tuple[str, ...]
    destination: str


class VerifiedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image under one reference. ``copies`` is null where the index does not say which layers are a core's."""

    reference: str
    platform: str
    digest: str
    layers: int
    copies: tuple[VerifiedCopy, ...] | None


class VerifiedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where something is: of a reference, a platform, a part of the image, a file; empty where it is all of them."""

    reference: str
    platform: str
    subject: str
    path: str


class VerifiedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong. ``code`` is the kind, which has a page.

    ``also`` are the other images that it hits.
    """

    code: str
    message: str
    place: VerifiedPlace
    also: tuple[VerifiedPlace, ...]
    notes: tuple[str, ...]
    why: str
    help: str


class VerifiedRemark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not wrong and that a reader should know."""

    message: str
    place: VerifiedPlace


class VerificationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce verify --json`` prints. ``passed`` says that nothing was found.

    ``layers`` counts those that were read (or asked for, if ``quick``), ``bytes_read`` what was read of them from disks
    and registries, ``compared`` the files that were held against those of other variants, ``fitted`` the images whose
    programs were checked, ``rebuilt`` those that were compared with a build.
    """

    schema: str = VERIFICATION_SCHEMA
    passed: bool
    quick: bool
    references: tuple[str, ...]
    images: tuple[VerifiedImage, ...]
    findings: tuple[VerifiedFinding, ...]
    remarks: tuple[VerifiedRemark, ...]
    layers: int
    bytes_read: int
    compared: int
    fitted: int
    rebuilt: int
    requests: int
    bytes_down: int


class ReleaseDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce release --json`` prints."""

    schema: str = RELEASED_SCHEMA
    tags: tuple[BuiltTag, ...]


class CopiedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was copied: ``image`` is where from; ``outcome`` is ``created``, ``moved`` or ``unchanged``."""

    image: str
    target: str
    tag: str
    digest: str
    outcome: str


class CopyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce copy --json`` prints; ``uploaded``, ``mounted`` and ``existed`` count blobs."""

    schema: str = COPY_SCHEMA
    images: tuple[CopiedImage, ...]
    uploaded: int
    mounted: int
    existed: int
    requests: int
    bytes_up: int
    bytes_down: int


class CheckedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One question: ``answer`` is ``yes``, ``no``, ``failed`` or ``not tried``; shipping needs what is ``needed``."""

    subject: str
    answer: str
    seen: str
    meaning: str
    needed: bool


class CheckupDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce doctor --json`` prints. ``left`` names what could not be removed again."""

    schema: str = CHECKUP_SCHEMA
    repository: str
    usable: bool
    registry: tuple[CheckedItem, ...]
    engine: tuple[CheckedItem, ...]
    left: tuple[str, ...]


class ConfiguredValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value in force: ``key`` as TOML writes it; ``value`` is null for a secret, and for the last stage as target.

    ``origin`` is ``default``, a file with its line, ``environment`` with a variable's name, or an option.
    """

    key: str
    value: str | bool | tuple[str, ...] | None
    origin: str
    secret: bool


class ConfigurationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce config --json`` prints. ``file`` is null where no file declares the project."""

    schema: str = CONFIGURATION_SCHEMA
    file: str | None
    values: tuple[ConfiguredValue, ...]


class MatrixJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of a matrix: the plan's ``job``, its ``title`` for people, and where it runs.

    ``runner`` is the label of GitHub's machine that is natively of ``platform``; where there is none, ``emulate`` is
    the platform, else it is empty. ``seconds`` is an estimate.
    """

    job: str
    title: str
    platform: str
    runner: str
    emulate: str = ""
    seconds: float


class MatrixDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce plan --matrix json`` prints. ``ship`` says whether there is anything to ship,
    ``plan`` is the digest of the plan file.

    Nothing is left to do where both lists are empty and ``ship`` is false.
    """

    schema: str = MATRIX_SCHEMA
    plan: Digest
    compile: tuple[MatrixJob, ...]
    bases: tuple[MatrixJob, ...]
    ship: bool


DOCUMENTS: Mapping[str, type[msgspec.Struct]] = {
    "plan": PlanDocument,
    "outcome": OutcomeDocument,
    "explanation": ExplanationDocument,
    "verification": VerificationDocument,
    "release": ReleaseRecord,
    "released": ReleaseDocument,
    "checkup": CheckupDocument,
    "copy": CopyDocument,
    "configuration": ConfigurationDocument,
    "matrix": MatrixDocument,
    "plan-file": PlanFile,
    "made": Made,
}


def render_schema(document: type[msgspec.Struct]) -> str:
    """Return a document's JSON Schema (2020-12), indented."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(document)}
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"

"""Images: a base's manifest and config with late layers inserted where a faithful build has them.

Manifests and configs are written as BuildKit's exporter/containerimage/writer.go writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from buildonce.assemble.config import (
    COMMENT,
    Config,
    HistoryEntry,
    MetadataInstruction,
    add_labels,
    apply_metadata,
    decode_config,
    encode_config,
)
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.tarball import LayerBlob
from buildonce.dockerfile.syntax import Cmd, Workdir
from buildonce.errors import AssemblyError
from buildonce.oci import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    MediaType,
    digest_of,
    encode_json,
)

END: Final = -1
"""The history position behind everything."""

_PAIRS: Final = (
    (OCI_LAYER, DOCKER_LAYER),
    (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP),
    (OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD),
)
_TO_OCI: Final[Mapping[MediaType, MediaType]] = {docker: oci for oci, docker in _PAIRS} | {
    oci: oci for oci, _ in _PAIRS
}
_TO_DOCKER: Final[Mapping[MediaType, MediaType]] = dict(_PAIRS) | {docker: docker for _, docker in _PAIRS}
LAYER_TYPES: Final = frozenset(_TO_OCI)
"""The types of layers that are kept where the image is."""

_INTERNAL: Final = ("containerd.io/uncompressed", "buildkit/createdat")
_INTERNAL_PREFIX: Final = "containerd.io/distribution.source."


class BaseImage(Struct, frozen=True, kw_only=True):
    """The image that late layers go into: its manifest, and its config as the bytes that it has."""

    manifest: Manifest
    config: bytes

    @property
    def manifest_digest(self) -> Digest:
        """A digest that identifies the base: that of its manifest as this program writes it."""
        return digest_of(encode_json(self.manifest))


class LayerStep(Struct, frozen=True, kw_only=True):
    """A layer that a COPY makes, inserted before the base's history entry ``history_position``, or at the `END`."""

    layer: LayerBlob
    created_by: str
    history_position: int = END
    comment: str = COMMENT


class MetadataStep(Struct, frozen=True, kw_only=True):
    """An instruction at the end that changes the config; a WORKDIR to anywhere but ``/`` also has a layer.

    ``cmd_is_set`` says whether its own stage has a CMD before it; None if the steps before it tell.
    """

    instruction: MetadataInstruction
    layer: LayerBlob | None = None
    cmd_is_set: bool | None = None


Step: TypeAlias = LayerStep | MetadataStep


class AssembledImage(Struct, frozen=True, kw_only=True):
    """An image's config and manifest, and what refers to them."""

    config: bytes
    config_descriptor: Descriptor
    manifest: bytes
    manifest_descriptor: Descriptor


@dataclass(slots=True)
class _Draft:
    """An image while steps are applied to it."""

    config: Config
    history: list[Config]
    layers: list[Descriptor]
    diff_ids: list[str]

    def insert(self, layer: LayerBlob, position: int) -> None:
        self.layers.insert(position, layer.descriptor)
        self.diff_ids.insert(position, layer.diff_id)


def copy_history(
    sources: Sequence[str],
    destination: str,
    *,
    chown: str | None = None,
    chmod: str | None = None,
    parents: bool = False,
) -> str:
    """Return the history text of a COPY, its words expanded; --from, --link and --exclude do not show in it."""
    flags = (
        "--parents" if parents else "",
        f"--chown={chown}" if chown else "",
        f"--chmod={chmod}" if chmod else "",
    )
    words = ("COPY", *(flag for flag in flags if flag), *sources, destination)
    return f"{' '.join(words)} # buildkit"


def layers_before(base: BaseImage, history_position: int) -> int:
    """Return how many of the base's layers come before one of its history entries.

    Raises `NotExpressible` if the base's history does not account for its layers.
    """
    history = _checked_history(base, decode_config(base.config))
    return _count_layers(history if history_position == END else history[:history_position])


def assemble_image(
    base: BaseImage,
    steps: Iterable[Step],
    *,
    created: str,
    cmd_is_set: bool = False,
    labels: Mapping[str, str] | None = None,
) -> AssembledImage:
    """Return ``base`` with ``steps`` applied, as if BuildKit had built it.

    Positions count the base's own history entries, whatever else is inserted; steps with the same position stay in
    their order. ``created`` is the time of every new entry and of the image. ``cmd_is_set`` says that the stage that
    the steps belong to had a CMD before. ``labels`` go over those that the Dockerfile gives. Media types stay in the
    base's family, OCI's or Docker's.

    Raises `NotExpressible` for a base whose history does not account for its layers or that has layers stored
    elsewhere, `AssemblyError` for a step that cannot be.
    """
    config = decode_config(base.config)
    history = _checked_history(base, config)
    draft = _Draft(config, list(history), list(base.manifest.layers), list(_diff_ids(config)))
    ordered = tuple(steps)
    inserted = [step for step in ordered if isinstance(step, LayerStep) and step.history_position != END]
    for late in sorted(inserted, key=lambda step: step.history_position):
        _insert(draft, late, offset=len(draft.history) - len(history), limit=len(history), created=created)
    for step in ordered:
        if isinstance(step, MetadataStep):
            known = cmd_is_set if step.cmd_is_set is None else step.cmd_is_set
            _append(draft, step, created=created, cmd_is_set=known)
            cmd_is_set = cmd_is_set or isinstance(step.instruction, Cmd)
        elif step.history_position == END:
            _insert(draft, replace(step, history_position=len(draft.history)), created=created)
    draft.config = add_labels(draft.config, labels or {})
    return _finish(base, draft, created)


def _insert(draft: _Draft, step: LayerStep, *, created: str, offset: int = 0, limit: int | None = None) -> None:
    if step.history_position < 0 or (limit is not None and step.history_position > limit):
        raise AssemblyError(f"the base has no history entry {step.history_position}")
    position = step.history_position + offset
    draft.insert(step.layer, _count_layers(draft.history[:position]))
    entry = HistoryEntry(created_by=step.created_by, comment=step.comment, empty_layer=False)
    draft.history.insert(position, entry.to_json(created))


def _append(draft: _Draft, step: MetadataStep, *, created: str, cmd_is_set: bool) -> None:
    draft.config, entry = apply_metadata(draft.config, step.instruction, cmd_is_set=cmd_is_set)
    needs_layer = entry is not None and not entry.empty_layer
    if needs_layer != (step.layer is not None):
        what = step.instruction.path if isinstance(step.instruction, Workdir) else step.instruction.keyword
        raise AssemblyError(f"`{what}` {'needs' if needs_layer else 'makes no'} layer")
    if step.layer is not None:
        draft.insert(step.layer, len(draft.layers))
    if entry is not None:
        draft.history.append(entry.to_json(created))


def _finish(base: BaseImage, draft: _Draft, created: str) -> AssembledImage:
    is_docker = base.manifest.media_type == DOCKER_MANIFEST
    rootfs = {**(draft.config.get("rootfs") or {}), "type": "layers", "diff_ids": draft.diff_ids}
    config = encode_config({**draft.config, "created": created, "history": draft.history, "rootfs": rootfs})
    config_descriptor = Descriptor(
        media_type=DOCKER_CONFIG if is_docker else OCI_CONFIG, digest=digest_of(config), size=len(config)
    )
    media_type = DOCKER_MANIFEST if is_docker else OCI_MANIFEST
    manifest = encode_json(
        Manifest(
            media_type=media_type,
            config=config_descriptor,
            layers=tuple(in_family(layer, is_docker=is_docker) for layer in draft.layers),
        )
    )
    return AssembledImage(
        config=config,
        config_descriptor=config_descriptor,
        manifest=manifest,
        manifest_descriptor=Descriptor(media_type=media_type, digest=digest_of(manifest), size=len(manifest)),
    )


def in_family(layer: Descriptor, *, is_docker: bool) -> Descriptor:
    """Return a layer as a manifest of Docker's or the OCI's family has it. Raises `NotExpressible` for other types."""
    media_type = (_TO_DOCKER if is_docker else _TO_OCI).get(layer.media_type)
    if media_type is None:
        raise NotExpressible(f"the base has a layer of the type `{layer.media_type}`")
    annotations = {
        key: value
        for key, value in (layer.annotations or {}).items()
        if not is_docker and key not in _INTERNAL and not key.startswith(_INTERNAL_PREFIX)
    }
    return Descriptor(
        media_type=media_type,
        digest=layer.digest,
        size=layer.size,
        annotations=dict(sorted(annotations.items())) or None,
    )


def _checked_history(base: BaseImage, config: Config) -> Sequence[Config]:
    history: Sequence[Config] = config.get("history") or ()
    counts = (len(base.manifest.layers), len(_diff_ids(config)), _count_layers(history))
    if len(set(counts)) != 1:
        raise NotExpressible(
            f"the base has {counts[0]} layers, {counts[1]} diff IDs, and a history of {counts[2]} layers"
        )
    return history


def _diff_ids(config: Config) -> Sequence[str]:
    diff_ids: Sequence[str] = (config.get("rootfs") or {}).get("diff_ids") or ()
    return diff_ids


def _count_layers(history: Iterable[Mapping[str, Any]]) -> int:
    return sum(not entry.get("empty_layer") for entry in history)

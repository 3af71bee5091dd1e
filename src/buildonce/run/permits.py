"""What a run may make of what it does not find: everything, all but cores, or what a plan gives to one job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial

from msgspec import Struct, field

from buildonce.errors import Error, NotCompiled
from buildonce.plan.nodes import BaseNode, CoreNode, ImageNode
from buildonce.plan.recipes import Key
from buildonce.store.protocol import Blob, Presence

_AGAIN = "make the plan again: what is missing is then in the jobs of the new one"


class NotMade(Error):
    """A base, a proof or an image of an engine's is missing, and this job is not the one that makes it."""

    code = "NOT-MADE"


class Permit(Struct, frozen=True, kw_only=True):
    """What a run may make. None stands for everything.

    ``cores`` may be compiled. The layers of ``bases`` may be read, and an engine may build and prove them. An engine
    may build ``images`` (variant and platform). The variants in ``copied`` go to a disk, with all layers. ``job`` is
    the plan's job that this is, empty for a build that was told not to compile; ``origins`` says of a node (a key; an
    image's name) where it should have come from.
    """

    job: str = ""
    cores: frozenset[Key] | None = None
    bases: frozenset[Key] | None = None
    images: frozenset[str] | None = None
    copied: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)

    def check_core(self, node: CoreNode, why: str) -> None:
        """Raise `NotCompiled` unless a core may be compiled that has to be; ``why`` that is."""
        if self.cores is None or node.key in self.cores:
            return
        notes = (*self._origin(node.key), f"its key is {node.key[:32]}", f"it holds {', '.join(node.paths)}")
        if self.job:
            message = f"core `{node}` {why}, and the job `{self.job}` may not compile it"
            raise NotCompiled(message, notes=notes, help=_AGAIN)
        raise NotCompiled(
            f"core `{node}` {why}, and --no-compile forbids to compile it",
            notes=notes,
            help="run the compile job for this commit first, or leave out --no-compile",
        )

    def check_base(self, node: BaseNode, why: str) -> None:
        """Raise `NotMade` unless an engine may build or prove a base, or its layers may be read; ``why`` they are."""
        if self.bases is None or node.key in self.bases:
            return
        notes = (*self._origin(node.key), f"its key is {node.key[:32]}")
        raise NotMade(f"base `{node}`: {why}, which the job `{self.job}` may not do", notes=notes, help=_AGAIN)

    def shared_blobs(self, image: ImageNode, base: BaseNode, blobs: tuple[Blob, ...]) -> tuple[Blob, ...]:
        """Return a base's blobs for publishing: those that cannot be mounted are read only where a base may be."""
        if self.bases is None or base.key in self.bases or image.variant in self.copied:
            return blobs

        async def refuse(blob: Blob) -> AsyncIterator[bytes]:
            what = f"its layer {blob.descriptor.digest} is neither where `{image}` goes nor to be mounted there"
            self.check_base(base, f"{what}: it is read")
            yield b""

        return tuple(replace(blob, open=partial(refuse, blob), presence=Presence.LIKELY) for blob in blobs)

    def check_image(self, node: ImageNode, reason: str) -> None:
        """Raise `NotMade` unless an engine may build an image; ``reason`` says why one has to."""
        if self.images is None or str(node) in self.images:
            return
        raise NotMade(
            f"image `{node}` is an engine's to build, which the job `{self.job}` may not start",
            notes=(*self._origin(str(node)), f"an engine builds it because of this: {reason}"),
            help=_AGAIN,
        )

    def _origin(self, node: str) -> tuple[str, ...]:
        return (self.origins[node],) if node in self.origins else ()


EVERYTHING = Permit()
NO_COMPILE = Permit(cores=frozenset())
NOTHING = Permit(job="plan", cores=frozenset(), bases=frozenset(), images=frozenset())

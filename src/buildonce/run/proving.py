"""[io] Proofs: is a base that was built without its late copies, with them assembled in, what BuildKit builds?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from buildonce.assemble.compare import tree_differences
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.image import Step, assemble_image
from buildonce.assemble.tree import Tree
from buildonce.events import Activity
from buildonce.oci import Descriptor, decode_manifest
from buildonce.plan.nodes import BaseNode, ImageNode
from buildonce.run.bases import Proof, ReadyBase
from buildonce.run.built import read_built
from buildonce.run.cores import CoreMaker
from buildonce.run.jobs import derive_proof
from buildonce.run.late_layers import LateLayers
from buildonce.run.layers import stack_layers
from buildonce.run.workshop import Order, Workshop
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Source, Stored
from buildonce.tasks import together

_ANY_TIME = "1970-01-01T00:00:00Z"


class Prover:
    """Compares assembled bases with faithful builds, entry by entry."""

    def __init__(self, shop: Workshop, cores: CoreMaker, late: LateLayers) -> None:
        self._shop = shop
        self._cores = cores
        self._late = late

    async def prove(self, base: ReadyBase) -> Proof:
        """Return the base's proof: the one it has if it still holds, else a new one.

        A proof holds as long as the copies make the same names, types, modes, owners and links: what a later RUN does
        can depend on these without naming them. Contents may change.
        """
        image = self._shop.plan.users_of(base.node.key)[0]
        ready = await together(self._cores.get(key) for key in image.cores.values())
        cores = dict(zip(image.cores, ready, strict=True))
        try:
            shape = await self._late.shape(image, base, cores)
            if base.proof is not None and base.proof.shape == shape:
                return base.proof
            steps = (await self._late.steps(image, base, cores, hoisted_only=True)).steps
            made = assemble_image(base.image, steps, created=_ANY_TIME)
        except NotExpressible as error:
            return Proof(equal=False, reason=error.message)
        faithful = await self._build_faithfully(base.node, image)
        assembled = _Assembled(base.source, self._shop.state.blobs, steps)
        ours = await self._shop.layers.tree(stack_layers(assembled, decode_manifest(made.manifest).layers, made.config))
        differences = await asyncio.to_thread(tree_differences, faithful, ours)
        if not differences:
            return Proof(equal=True, shape=shape)
        return Proof(equal=False, reason=f"leaving out the late copies changes the result: {differences[0]}")

    async def _build_faithfully(self, node: BaseNode, image: ImageNode) -> Tree:
        """Build the base with its late copies in their places, and return its file tree."""
        graph = self._shop.graphs[(node.file, node.platform)]
        built = await self._shop.build(
            Order(
                derived=derive_proof(graph, node, image.cores),
                activity=Activity.PROVE,
                node=str(node),
                file=node.file,
                stage=node.stage,
                platform=node.platform,
                reason="nothing proves yet that its RUN does not depend on the copied files",
                contexts=await self._cores.named_contexts(node.file, image.cores),
            )
        )
        source, manifest = await read_built(built)
        config = await self._shop.small_blob(source, manifest.config)
        return await self._shop.layers.tree(stack_layers(source, manifest.layers, config))


class _Assembled:
    """A source with the base's blobs and the layers of steps."""

    def __init__(self, base: Source, blobs: LayoutStore, steps: tuple[Step, ...]) -> None:
        self.name = base.name
        self._base = base
        self._blobs = blobs
        self._late = {step.layer.descriptor.digest for step in steps if step.layer is not None}

    async def get_manifest(self, name: str) -> Stored | None:
        return await self._base.get_manifest(name)

    def read_blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        source: Source = self._blobs if descriptor.digest in self._late else self._base
        return source.read_blob(descriptor)

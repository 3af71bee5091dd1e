"""[io] Bases: found in the cache, built by an engine, or simply an external image; with their facts and their proof."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from buildonce.assemble.config import begin_stage, scratch_config
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.facts import Facts, gather_facts, read_users
from buildonce.assemble.image import BaseImage
from buildonce.assemble.tree import Tree
from buildonce.errors import AssemblyError, EngineFailed, IntegrityError
from buildonce.events import Activity
from buildonce.fit.offer import Offer, decode_offer, encode_offer
from buildonce.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor, Digest, Manifest, digest_of
from buildonce.plan.nodes import BaseNode, BaseOrigin, Plan
from buildonce.plan.recipes import Key, encode_recipe
from buildonce.reference import Reference, Repository
from buildonce.run.base_more import More, keep_more, read_more
from buildonce.run.base_records import BaseDetails, ReadyBase, base_details, base_name, base_stack
from buildonce.run.built import read_built
from buildonce.run.cache_places import origins_of
from buildonce.run.jobs import derive_base
from buildonce.run.original_layers import with_original_layers
from buildonce.run.placement import Probe, place_steps
from buildonce.run.proving import Prover, last_error
from buildonce.run.resolving import open_image
from buildonce.run.workshop import Order, Workshop
from buildonce.store.protocol import Blob, Source
from buildonce.store.results import Record, Result, put_result, without_record
from buildonce.store.streams import blob_of_bytes

_RECORD_LIMIT = 1_000_000
"""How many bytes of what is known go into a record, which is a part of a manifest: registries limit these."""


class BaseMaker:
    """Finds or makes the bases of a plan, each once."""

    def __init__(self, shop: Workshop, prover: Prover) -> None:
        self._shop = shop
        self._prover = prover

    async def get(self, key: Key) -> ReadyBase:
        """Return the base, with the facts that the plan's images need, and with its proof if it needs one."""
        return await self._shop.once("base", key, lambda: self._get(self._shop.plan.bases[key]))

    async def tree(self, base: ReadyBase, layers: int | None = None) -> Tree:
        """Return the file system of the base's first ``layers`` layers, or of all."""
        return await self._shop.layers.tree(base_stack(base, layers))

    async def offer(self, base: ReadyBase) -> Offer:
        """Return what the base offers to programs: from its record, else as its layers say."""
        found = await self._shop.once("offer", base.node.key, lambda: self._offer_or_refusal(base))
        if isinstance(found, NotExpressible):
            raise found
        return found

    async def _offer_or_refusal(self, base: ReadyBase) -> Offer | NotExpressible:
        """Return the refusal as a value: raised in the task that all wait for, it would end the whole run."""
        try:
            return await self._offer(base)
        except NotExpressible as error:
            return error

    async def _offer(self, base: ReadyBase) -> Offer:
        known = decode_offer(base.offer)
        if known is None:
            base.offer = self._shop.state.recall("offer", base.image.manifest_digest, str) or ""
            known = decode_offer(base.offer)
        if known is None:
            stack = base_stack(base)
            self._check_reading(base, stack.layers)
            known = await self._shop.layers.offer(stack)
            base.offer = await asyncio.to_thread(encode_offer, known)
            self._shop.state.remember("offer", base.image.manifest_digest, base.offer)
        return known

    async def _get(self, node: BaseNode) -> ReadyBase:
        permit = self._shop.permit
        is_own = permit.bases is None or node.key in permit.bases or node.origin is BaseOrigin.SCRATCH
        found = await self._shop.find(base_name(node), is_own=is_own)
        base = await self._found(node, found) if found and _is_whole(node, found) else None
        if base is None and node.origin is not BaseOrigin.SCRATCH:
            permit.check_base(node, f"it is not in {self._shop.cache.name}, and has to be made")
        if base is None or (base.disproof is not None and self._shop.reprove and not base.holds_base):
            base = await self._make(node)
        if base.disproof is not None and (base.proved or not self._shop.reprove):
            return base
        try:
            missing = await self._missing_facts(base)
            if missing or found is None or self._shop.engine_is_wanted:
                # The layers are at hand: what they offer goes into the record; or an engine works, and there is time.
                await self.offer(base)
        except NotExpressible as error:
            return await self._unusable(node, error.message)
        except (AssemblyError, IntegrityError) as error:
            error.notes += (f"the layers of base `{node}` were read from {base.source.name}",)
            raise
        proofs = await self._prover.prove(base) if node.needs_proof else ()
        if base.fresh or found is None or proofs != base.proofs:
            base.proofs = proofs
            await self._store(base)
        elif missing:
            self._remember(base, missing)
        return base

    async def look(self, node: BaseNode, found: Result) -> ReadyBase | None:
        """Return a base that is in the cache, as other machines find it; None if it has to be made all the same."""
        return await self._found(node, found) if _is_whole(node, found) else None

    def lack(self, base: ReadyBase) -> str:
        """Return why a base cannot be used by its record alone; nothing if it can. Raises `NotExpressible`."""
        if not base.image.manifest.layers or base.disproof is not None:
            return ""
        if any(probe.key not in base.facts for probe in _probes(self._shop.plan, base)):
            return "its record does not say what its variants ask now"
        return "" if decode_offer(base.offer) else "its record does not say what it offers to programs"

    async def _found(self, node: BaseNode, found: Result) -> ReadyBase:
        details = base_details(found)
        if details.holds_base:
            manifest = without_record(found.manifest)
            source: Source = self._shop.cache
            image = BaseImage(manifest=manifest, config=await self._shop.small_blob(source, manifest.config))
            origins = await origins_of(self._shop.cache, found.stored.digest)
        else:
            image, source, origins = self._external(node)
        more = await read_more(self._shop.cache, details.more) if details.more else More()
        return ReadyBase(
            node=node,
            image=image,
            source=source,
            origins=origins,
            fresh=False,
            holds_base=details.holds_base,
            seconds=found.record.seconds,
            facts={**more.facts, **details.facts},
            proofs=details.proofs,
            offer=details.offer or more.offer,
        )

    async def _make(self, node: BaseNode) -> ReadyBase:
        if node.origin is not BaseOrigin.ENGINE:
            image, source, origins = self._external(node)
            return ReadyBase(node=node, image=image, source=source, origins=origins, fresh=False, holds_base=False)
        graph = self._shop.graphs[(node.file, node.platform)]
        try:
            built = await self._shop.build(
                Order(
                    derived=derive_base(graph, node),
                    activity=Activity.BASE,
                    node=str(node),
                    file=node.file,
                    stage=node.stage,
                    platform=node.platform,
                    reason=self._shop.absence(base_name(node)),
                    files=self._shop.plan.files_of(node),
                )
            )
        except EngineFailed as error:
            if not node.needs_proof:
                raise
            # Only if it does not fail with them, too, are they missed.
            await self._prover.build_faithfully(node)
            return await self._unusable(node, f"without the copied files the build fails ({last_error(error)})")
        layout, manifest = await read_built(built)
        config = await self._shop.small_blob(layout, manifest.config)
        open_repository = self._shop.open_repository
        source, manifest = with_original_layers(layout, manifest, config, node.external, open_repository)
        return ReadyBase(
            node=node,
            image=BaseImage(manifest=manifest, config=config),
            source=source,
            origins=(),
            fresh=True,
            holds_base=True,
            seconds=built.seconds,
        )

    async def _unusable(self, node: BaseNode, reason: str) -> ReadyBase:
        """Remember that nothing can be assembled on this base: its images are the engine's."""
        image, source, origins = self._external(node)
        base = ReadyBase(node=node, image=image, source=source, origins=origins, fresh=False, holds_base=False)
        base.proofs, base.proved = (self._prover.proof(node, reason=reason),), True
        await self._store(base)
        return base

    def _external(self, node: BaseNode) -> tuple[BaseImage, Source, tuple[Repository, ...]]:
        external = node.external
        if external is None:
            config = scratch_config(node.platform)
            descriptor = Descriptor(media_type=OCI_CONFIG, digest=digest_of(config), size=len(config))
            manifest = Manifest(media_type=OCI_MANIFEST, config=descriptor, layers=())
            return BaseImage(manifest=manifest, config=config), self._shop.cache, ()
        reference, opened = external.reference, open_image(external.reference, self._shop.open_repository)
        # An engine begins a stage with a PATH if the image has none; the config of its own results has it already.
        config = begin_stage(external.config_content, node.platform)
        image = BaseImage(manifest=external.manifest, config=config)
        return image, opened, (reference.repository,) if isinstance(reference, Reference) else ()

    async def _missing_facts(self, base: ReadyBase) -> tuple[str, ...]:
        """Gather the facts that images of the plan need and that the record lacks; return their keys."""
        wanted = {probe.key: probe for probe in _probes(self._shop.plan, base)}
        missing = [key for key in wanted if key not in base.facts]
        for key in tuple(missing):
            known = self._shop.state.recall("facts", f"{base.image.manifest_digest} {key}", Facts)
            if known is not None:
                base.facts[key] = known
                missing.remove(key)
        for key in missing:
            base.facts[key] = await self._gather(base, wanted[key])
        return tuple(missing)

    async def _gather(self, base: ReadyBase, probe: Probe) -> Facts:
        stack = base_stack(base, probe.layers)
        self._check_reading(base, stack.layers)
        tree = await self._shop.layers.tree(stack)
        kept = await self._shop.layers.kept(stack)
        return await asyncio.to_thread(_gather, tree, kept, probe)

    def _check_reading(self, base: ReadyBase, layers: tuple[Descriptor, ...]) -> None:
        if layers:
            self._shop.permit.check_base(
                base.node, "its record does not say all that is asked, and its layers are read"
            )

    def _remember(self, base: ReadyBase, keys: tuple[str, ...]) -> None:
        for key in keys:
            self._shop.state.remember("facts", f"{base.image.manifest_digest} {key}", base.facts[key])

    async def _store(self, base: ReadyBase) -> None:
        """Put the base into the cache, whole, with all that is known of it."""
        node = base.node
        details = BaseDetails(holds_base=base.holds_base, facts=base.facts, proofs=base.proofs, offer=base.offer)
        if len(msgspec.json.encode(details)) > _RECORD_LIMIT:
            more = await keep_more(self._shop.cache, node, More(facts=base.facts, offer=base.offer))
            details = replace(details, facts={}, offer="", more=more)
        manifest, new, shared = _stored_image(base)
        record = Record(
            kind="base",
            name=node.name,
            platform=str(node.platform),
            key=node.key,
            recipe=msgspec.Raw(encode_recipe(node.recipe)),
            seconds=base.seconds,
            details=msgspec.Raw(msgspec.json.encode(details)),
        )
        kept = await put_result(self._shop.cache, manifest=manifest, record=record, new=new, shared=shared)
        self._shop.note(kept, base_name(node))
        if base.fresh:
            await self._shop.keep_account(lambda: self._shop.accountant.base(node), base.seconds)
            base.origins = await origins_of(self._shop.cache, kept.stored.digest)


def _is_whole(node: BaseNode, found: Result) -> bool:
    """Say whether a result is a base that can be used, or says why there is none."""
    details = base_details(found)
    return details.holds_base or details.disproof is not None or node.origin is not BaseOrigin.ENGINE


def _stored_image(base: ReadyBase) -> tuple[Manifest, tuple[Blob, ...], tuple[Blob, ...]]:
    """Return the image to put into the cache, the blobs that belong to it alone, and those of the external base."""
    image, external = base.image, base.node.external
    if not base.holds_base:
        empty = blob_of_bytes(b"{}", OCI_CONFIG)
        return Manifest(media_type=OCI_MANIFEST, config=empty.descriptor, layers=()), (empty,), ()
    if not base.fresh:
        return image.manifest, (), ()  # the cache has it; only its record changes
    given = {layer.digest for layer in external.manifest.layers} if external else set()
    shared = tuple(blob for blob in base.blobs() if blob.descriptor.digest in given)
    own = tuple(blob for blob in base.blobs() if blob.descriptor.digest not in given)
    return image.manifest, (*own, blob_of_bytes(image.config, image.manifest.config.media_type)), shared


def _probes(plan: Plan, base: ReadyBase) -> tuple[Probe, ...]:
    placed = (one for image in plan.users_of(base.node.key) for one in place_steps(image, base.image))
    return tuple({one.probe: None for one in placed if one.probe is not None})


def _gather(tree: Tree, kept: Mapping[Digest, bytes], probe: Probe) -> Facts:
    users = read_users(tree, kept)
    return gather_facts(tree, probe.destinations, users.passwd, users.group, problems=users.problems)

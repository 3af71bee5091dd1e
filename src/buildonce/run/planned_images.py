"""External images in a plan file: put there by the plan, and taken from there by jobs, which ask no registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from buildonce.errors import Error, IntegrityError, PlanDiffers, StoreError
from buildonce.oci import Digest, Platform, decode_manifest, parse_platform
from buildonce.plan.file_plans import Images
from buildonce.plan.images import ExternalImage
from buildonce.run.plan_file import PinnedImage, PlanFile
from buildonce.run.resolving import OpenRepository, make_image
from buildonce.run.state import State


def pin_images(images: Images, state: State) -> tuple[tuple[PinnedImage, ...], Mapping[Digest, str]]:
    """Return external images as a plan file has them, and their documents by digest; ``state`` kept these just now."""
    pinned: list[PinnedImage] = []
    documents: dict[Digest, str] = {}
    for (name, platform), image in sorted(images.items()):
        manifest = state.read_small(image.digest)
        if manifest is None:
            raise StoreError(f"the manifest of `{name}` is gone from this machine", help="run the same command again")
        config = image.manifest.config.digest
        documents |= {image.digest: _text(manifest, name), config: _text(image.config_content, name)}
        pinned.append(
            PinnedImage(name=name, platform=str(platform), pinned=image.pinned, manifest=image.digest, config=config)
        )
    return tuple(pinned), documents


class PlannedImages:
    """Finds the external images of a job in its plan, and nowhere else."""

    def __init__(self, plan: PlanFile) -> None:
        self._plan = plan
        self._images = {(image.name, parse_platform(image.platform)): image for image in plan.images}

    async def __call__(
        self,
        wanted: Iterable[tuple[str, Platform]],
        *,
        open_repository: OpenRepository,  # noqa: ARG002  no registry is asked
        state: State,  # noqa: ARG002
        explain: Callable[[str, StoreError], Error],  # noqa: ARG002
    ) -> Mapping[tuple[str, Platform], ExternalImage]:
        """Return each wanted image as the plan has it. Raises `PlanDiffers` for one that it does not have."""
        return {(name, platform): self._find(name, platform) for name, platform in sorted(set(wanted))}

    def _find(self, name: str, platform: Platform) -> ExternalImage:
        image = self._images.get((name, platform))
        if image is None:
            raise PlanDiffers(
                f"the plan has no digest of the image `{name}` for {platform}, which a Dockerfile here takes",
                notes=("a job resolves no image by itself: what a tag points to may have changed since",),
                help="give the job the checkout that the plan was made from, or make the plan again",
            )
        manifest, config = (self._plan.documents[one].encode() for one in (image.manifest, image.config))
        if decode_manifest(manifest).config.digest != image.config:
            raise IntegrityError(f"the plan's config of `{name}` is not the one that its manifest names")
        return make_image(name, platform, pinned=image.pinned, manifest=manifest, config=config)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise IntegrityError(f"a document of the image `{name}` is no text") from error

"""[io] The oracle: a plain `docker buildx build` of the user's own Dockerfile, without any help from buildonce."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import AMD64, Host
from tests.e2e.images import Image, layout_blobs, layout_digests, read_image

_AT_ONCE = 4


def plain_build(
    host: Host,
    context: Path,
    output: Path,
    *,
    target: str,
    platform: str,
    arguments: tuple[str, ...] = (),
    from_nothing: bool = False,
) -> Image:
    """Return what BuildKit makes of a target.

    Its own instructions run anew. Their results could otherwise be those of a build that buildonce ordered: BuildKit
    finds them by the contents of what they read, and then gives the files the times that they had there. The stages
    that it is built on may come from the cache, unless it is to be built ``from_nothing``.
    """
    argv = ["docker", "buildx", "build", "--quiet", "--provenance=false", f"--platform={platform}"]
    argv += [f"--target={target}"] if target else []
    argv += ["--no-cache" if from_nothing or not target else f"--no-cache-filter={target}"]
    host.demand(*argv, f"--output=type=oci,tar=false,dest={output}", *arguments, context)
    digests = layout_digests(output)
    assert len(digests) == 1
    image = read_image(layout_blobs(output), next(iter(digests.values())))
    shutil.rmtree(output)
    return image


@dataclass(frozen=True, slots=True, order=True)
class Order:
    """A target of a project to be built plainly."""

    context: Path
    target: str
    platform: str = AMD64


@contextmanager
def plain_builds(host: Host, orders: Iterable[Order], folder: Path) -> Iterator[Mapping[Order, Future[Image]]]:
    """Give the images of many orders, built a few at a time in the background."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        try:
            yield {
                order: pool.submit(
                    plain_build, host, order.context, folder / str(n), target=order.target, platform=order.platform
                )
                for n, order in enumerate(orders)
            }
        finally:
            pool.shutdown(cancel_futures=True)

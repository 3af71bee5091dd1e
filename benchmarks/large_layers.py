"""[io] Layers of gigabytes through a real registry and a layout: is memory bounded? See README.md.

Run it from the root: `scripts/host run -- .venv/bin/python -m benchmarks.large_layers --write benchmarks/results`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.facts import machine_facts

SCHEMA = "buildonce.benchmark.large-layers/1"
_MEMORY_LIMIT = 150
_CHUNK = 1 << 20
_STEPS = ("nothing", "send", "read", "copy to a layout", "copy from a layout")


def main(arguments: Sequence[str]) -> int:
    """Measure each step in a process of its own, print the table, and write the results."""
    options = _parser().parse_args(arguments)
    if options.step:
        asyncio.run(_take(options.step, options.file, options.repository, options.layout))
        print(json.dumps({"peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}))
        return 0
    samples = []
    with tempfile.TemporaryDirectory(prefix="buildonce-bench-", dir=options.folder) as name:
        file = Path(name) / "layer"
        size = options.mib << 20
        _write(file, size)
        target = f"{os.environ['BUILDONCE_HOST_REGISTRY']}/bench-large/{secrets.token_hex(4)}"
        for step in _STEPS:
            argv = [sys.executable, "-m", "benchmarks.large_layers", "--step", step, "--file", str(file)]
            started = time.monotonic()
            done = subprocess.run(
                [*argv, "--repository", target, "--layout", f"{name}/out"], stdout=subprocess.PIPE, check=True
            )
            seconds = time.monotonic() - started
            samples.append({"step": step, "mib": options.mib, "seconds": round(seconds, 2), **json.loads(done.stdout)})
            print(samples[-1], file=sys.stderr, flush=True)
    page = _render(samples)
    print(page)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        document = {"schema": SCHEMA, "machine": machine_facts(os.environ), "samples": samples}
        (options.write / "large-layers.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.write / "large-layers.md").write_text(page)
    return int(max(float(sample["peak_mib"]) for sample in samples) > _MEMORY_LIMIT)


async def _take(step: str, file: Path, repository: str, layout: Path) -> None:
    """Take one step with the whole layer, whose digest was noted beside it."""
    from buildonce.oci import OCI_LAYER, Descriptor, Digest
    from buildonce.reference import parse_repository
    from buildonce.store.ensuring import ensure_blob
    from buildonce.store.layout import LayoutStore
    from buildonce.store.protocol import Blob
    from buildonce.store.registry import RegistrySession, RegistryStore, options_from_environment
    from buildonce.store.streams import blob_of_file

    digest = Digest(await asyncio.to_thread(file.with_suffix(".digest").read_text))
    size = await asyncio.to_thread(os.path.getsize, file)
    descriptor = Descriptor(media_type=OCI_LAYER, digest=digest, size=size)
    async with RegistrySession(options_from_environment(os.environ)) as session:
        registry = RegistryStore(parse_repository(repository), session)
        local = LayoutStore(layout)
        match step:
            case "send":
                await registry.put_blob(blob_of_file(file, descriptor))
            case "read":
                total = 0
                async for chunk in registry.read_blob(descriptor):
                    total += len(chunk)
                if total != descriptor.size:
                    raise RuntimeError(f"{total} bytes came")
            case "copy to a layout":
                await ensure_blob(local, Blob(descriptor=descriptor, open=lambda: registry.read_blob(descriptor)))
            case "copy from a layout":
                other = RegistryStore(parse_repository(f"{repository}-copy"), session)
                path = local.path_of(descriptor)
                if path is None:
                    raise RuntimeError("the layout lacks the layer")
                await other.put_blob(blob_of_file(path, descriptor))
            case _:
                pass


def _write(file: Path, size: int) -> None:
    """Write a file that no compression makes smaller, and its digest beside it."""
    digest = hashlib.sha256()
    with file.open("wb") as out:
        for _ in range(size // _CHUNK):
            chunk = os.urandom(_CHUNK)
            digest.update(chunk)
            out.write(chunk)
    file.with_suffix(".digest").write_text(f"sha256:{digest.hexdigest()}")


def _render(samples: Sequence[dict[str, object]]) -> str:
    lines = ["| step | layer | seconds | peak of memory |", "|---|---|---|---|"]
    lines += [f"| {one['step']} | {one['mib']} MiB | {one['seconds']} | {one['peak_mib']} MiB |" for one in samples]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How much memory do very large layers take on their way?")
    parser.add_argument("--mib", type=int, default=2048, help="the layer's size")
    parser.add_argument("--folder", type=Path, help="where the layer is written")
    parser.add_argument("--write", type=Path, metavar="DIR")
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--repository", help=argparse.SUPPRESS)
    parser.add_argument("--layout", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

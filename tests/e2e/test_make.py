"""The example family, planned once and carried out job by job: real registry, real engine, no memory in common."""

from __future__ import annotations

from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from buildonce.oci import OCI_MANIFEST
from tests.e2e.chains import Chain
from tests.e2e.harness import VARIANTS, Host, copy_example, moved_tags, tags_of
from tests.e2e.images import tag_digest
from tests.e2e.stories import FIRST_LINE, LONG_AGO

pytestmark = pytest.mark.host

LITTLE = 2_000_000
"""Bytes: more than records and cores take here, and less than any layer of a base."""


def delete_core(host: Host, chain: Chain, platform: str) -> None:
    """Remove a core from the cache, as a clean-up of the registry would."""
    prefix = f"core-builder-{platform.replace('/', '-')}"
    digest = next(digest for tag, digest in _results(chain).items() if tag.startswith(prefix))
    cache = f"{chain.push}-cache".removeprefix(f"{host.registry}/")
    url = f"http://{host.registry}/v2/{cache}/manifests/{digest}"
    with urlopen(Request(url, method="DELETE", headers={"Accept": OCI_MANIFEST})) as answer:
        assert answer.status == 202


def _results(chain: Chain) -> dict[str, str]:
    import json

    found = dict(chain.file()["results"])
    for left in (chain.here / "made").glob("*.json"):
        found |= json.loads(left.read_text())["results"]
    return found


def test_a_family_is_shipped_by_jobs_that_share_nothing_but_the_plan_and_a_registry(
    host: Host, repository: str, run_id: str, tmp_path: Path
) -> None:
    project = copy_example(host, tmp_path, time=LONG_AGO)
    version = f'FAMILY_VERSION "3.0.{int(run_id, 16)}"'
    project.edit("src/version.h", FIRST_LINE, version)
    chain = Chain(project=project, folder=tmp_path, push=repository)

    first = chain.run()
    assert first.total("compiles") == 2
    assert {job.split("-")[0] for job in first.jobs} == {"compile", "bases"}
    assert all(made["compiles"] == 0 for job, made in first.made.items() if job.startswith("bases"))
    assert first.shipped
    assert first.shipped["engine_runs"] == []
    assert first.shipped["bytes_down"] < LITTLE
    assert moved_tags(first.shipped) == sorted(VARIANTS)

    # One build on one machine ships the same.
    whole = project.build(f"--push={repository}", "--no-compile")
    assert tags_of(whole) == tags_of(first.shipped)
    assert moved_tags(whole) == []

    again = chain.run()
    assert (again.jobs, again.shipped) == ([], None), "nothing changed, so the plan is all there is"

    project.edit("src/version.h", version, f'{version[:-1]}1"')
    changed = chain.run()
    assert changed.jobs == ["compile-builder-linux-amd64", "compile-builder-linux-arm64"]
    assert changed.total("compiles") == 2
    assert changed.shipped
    assert changed.shipped["engine_runs"] == []
    assert changed.shipped["bytes_down"] < LITTLE
    assert moved_tags(changed.shipped) == sorted(VARIANTS)

    # A core is removed between the job that made it and the one that ships.
    project.edit("src/version.h", f'{version[:-1]}1"', f'{version[:-1]}2"')
    for cell in chain.plan()["compile"]:
        assert chain.make(cell["job"]).code == 0
    delete_core(host, chain, "linux/arm64")
    before = {variant: tag_digest(repository, variant) for variant in VARIANTS}
    failed = chain.make("ship")
    assert failed.code == 1
    assert "error[NO-COMPILE]: core `builder linux/arm64` is not in" in failed.err
    assert "had it in the cache: it was removed since" in failed.err
    assert {variant: tag_digest(repository, variant) for variant in VARIANTS} == before

    # The next plan sees it, and mends it.
    mended = chain.run()
    assert mended.jobs == ["compile-builder-linux-arm64"]
    assert mended.shipped
    assert moved_tags(mended.shipped) == sorted(VARIANTS)

"""A run that may read a cache and not write it, as a fork's pull request: real registry, real engine."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from buildonce.oci import OCI_MANIFEST
from tests.e2e.harness import AMD64, Document, Host, Project, digests_of, new_project

pytestmark = pytest.mark.host

FILES = {
    "source.txt": "one\n",
    "Dockerfile": """\
FROM busybox:1.36-glibc AS builder
COPY source.txt /
RUN mkdir /out && cp source.txt /out/app && chmod 755 /out/app

FROM busybox:1.36-glibc AS plain
COPY --from=builder /out/app /usr/local/bin/app

FROM busybox:1.36-glibc AS based
RUN echo configured > /etc/family
COPY --from=builder /out/app /usr/local/bin/app

FROM busybox:1.36-glibc AS runs
COPY --from=builder /out/app /usr/local/bin/app
RUN sort /usr/local/bin/app > /etc/sorted
""",
}
VARIANTS = "--variant=plain,based,runs"


def tags_there(host: Host, repository: str) -> dict[str, str]:
    """Return the tags of a repository, and where they point."""
    name = repository.removeprefix(f"{host.registry}/")
    with urlopen(f"http://{host.registry}/v2/{name}/tags/list") as answer:
        tags = json.load(answer)["tags"]
    found = {}
    for tag in tags:
        url = f"http://{host.registry}/v2/{name}/manifests/{tag}"
        with urlopen(Request(url, headers={"Accept": OCI_MANIFEST})) as answer:
            found[tag] = answer.headers["Docker-Content-Digest"]
    return found


def build(project: Project, *arguments: str) -> Document:
    return project.build(VARIANTS, *arguments, platforms=(AMD64,))


def activities(outcome: Document) -> list[str]:
    return sorted(run["activity"] for run in outcome["engine_runs"])


@pytest.mark.parametrize("kind", ["registry", "layout"])
def test_a_run_that_is_not_trusted_uses_the_cache_and_does_not_fill_it(
    host: Host, repository: str, tmp_path: Path, kind: str
) -> None:
    trusted = new_project(host, tmp_path / "trusted", FILES)
    cache = f"{repository}-cache" if kind == "registry" else f"oci:{tmp_path / 'cache'}"
    first = build(trusted, f"--push={repository}", f"--cache={cache}")
    assert len(activities(first)) >= 3

    shutil.copytree(trusted.folder, tmp_path / "fork" / "project", ignore=shutil.ignore_patterns(".buildonce"))
    fork = replace(trusted, folder=tmp_path / "fork" / "project", state=tmp_path / "fork" / "state")
    untrusted = ("--output=oci:out", f"--cache={cache}", "--cache-read-only")

    def content() -> object:
        if kind == "registry":
            return tags_there(host, cache)
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}

    before = content()
    assert before
    same = build(fork, *untrusted)
    assert (digests_of(same), activities(same)) == (digests_of(first), [])

    fork.write("source.txt", "two\n")
    changed = build(fork, *untrusted)
    assert "compile" in activities(changed)
    assert (fork.folder / ".buildonce" / "cache" / "index.json").is_file()
    assert activities(build(fork, *untrusted)) == []
    assert content() == before

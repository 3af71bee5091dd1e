"""The example whose programs are compiled outside: shipped on a machine without any engine, then run and compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.comparison import image_differences, render
from tests.e2e.harness import ARM64, CHECKOUT, PLATFORMS, Host, Project, digests_of, tags_of
from tests.e2e.images import read_image, registry_blobs
from tests.e2e.plain import plain_build

pytestmark = pytest.mark.host

VARIANTS = ("plain", "server", "worker", "small", "tools", "bare")
MACHINES = dict(zip(PLATFORMS, ("x86_64", "aarch64"), strict=True))
GIVEN = "--given=builder=dist/{os}-{arch}"
SAID = {"plain": "there", "bare": "there", "tools": "there"}

ELSEWHERE = """\
FROM gcc:12-bookworm AS compiled
COPY main.c .
RUN mkdir -p /out/bin && gcc -static -s -o /out/bin/hello main.c
FROM scratch
COPY --from=compiled /out/bin/hello /out/bin/hello
"""


@pytest.fixture
def project(host: Host, tmp_path: Path) -> Project:
    """A copy of the example, with programs that were compiled for both platforms by somebody else."""
    folder = tmp_path / "given"
    shutil.copytree(CHECKOUT / "examples" / "given", folder, ignore=shutil.ignore_patterns(".buildonce", "dist"))
    (tmp_path / "Elsewhere").write_text(ELSEWHERE)
    for platform in PLATFORMS:
        out = folder / "dist" / platform.replace("/", "-")
        argv = ["docker", "buildx", "build", f"--platform={platform}", f"--output=type=local,dest={out}"]
        host.demand(*argv, "--file", tmp_path / "Elsewhere", folder)
    return Project(host=host, folder=folder, state=tmp_path / "state")


def test_six_variants_ship_without_an_engine(host: Host, project: Project, run_id: str, tmp_path: Path) -> None:
    repository = host.repository(f"given-{run_id}")
    (tmp_path / "bin").mkdir()
    nothing = {"PATH": str(tmp_path / "bin"), "DOCKER_HOST": f"unix://{tmp_path}/none"}
    argv = ["build", "--json", f"--platform={','.join(PLATFORMS)}", GIVEN, "--push", repository]
    outcome = project.buildonce(*argv, environment=nothing).document
    assert outcome["engine_runs"] == []
    assert sorted(tags_of(outcome)) == sorted(VARIANTS)
    digests = digests_of(outcome)
    assert len(digests) == len(VARIANTS) * len(PLATFORMS)
    again = project.buildonce(*argv, environment=nothing).document
    assert digests_of(again) == digests

    for (variant, platform), digest in digests.items():
        said = host.demand(
            "docker", "run", "--rm", "--quiet", f"--platform={platform}", f"{repository}@{tags_of(outcome)[variant]}"
        )
        assert said == f"hello {SAID.get(variant, variant)} ({MACHINES[platform]})\n", f"{variant} {digest}"

    for variant in VARIANTS:
        folder = project.folder / "dist" / ARM64.replace("/", "-")
        plain = plain_build(
            host,
            project.folder,
            tmp_path / "plain",
            target=variant,
            platform=ARM64,
            arguments=(f"--build-context=builder={folder}",),
        )
        shipped = read_image(registry_blobs(repository), digests[variant, ARM64])
        differences = image_differences(plain, shipped)
        assert not differences, f"{variant}: {render(differences)}"

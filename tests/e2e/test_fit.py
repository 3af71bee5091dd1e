"""What is judged to run runs, and what is judged not to run does not: real programs, in the hands of a real engine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.testhost import machine
from tests.e2e.fit_cases import BUILDER, CASES, LOADS_IMAGE, MUSL_IMAGE, Case, dockerfile
from tests.e2e.harness import AMD64, PLATFORMS, Host, Project, digests_of, new_project
from tests.e2e.packages import unpack_packages

pytestmark = pytest.mark.host

SOURCES = Path(__file__).parent / "fit_sources"
ARCHITECTURES = ("amd64", "arm64")
TRIED = [
    pytest.param(name, platform, id=f"{name}-{platform.partition('/')[2]}")
    for name, case in CASES.items()
    for platform in case.platforms
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """All cases, built without a look at whether they run."""

    project: Project
    repository: str
    digests: dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def shipped(host: Host, run_id: str, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """The project with all cases, in a repository, and its bases beside it."""
    repository = host.repository(f"e2e-{run_id}/fit")
    project = new_project(host, tmp_path_factory.mktemp("fit"), {"Dockerfile": dockerfile()})
    shutil.copy(SOURCES / "build.sh", project.folder)
    for architecture in ARCHITECTURES:
        _take_files(project.folder, architecture)
    compiled, musl, loads = (f"{repository}-{name}" for name in ("compiled", "musl", "loads"))
    _build_image(project, compiled, f"{BUILDER}FROM scratch\nCOPY --from=builder /out/ /\n")
    _build_image(project, musl, MUSL_IMAGE)
    _build_image(project, loads, LOADS_IMAGE, f"--build-arg=FROM={compiled}")
    for name, value in (("MUSL", musl), ("LOADS", loads)):
        project.edit("Dockerfile", f"ARG {name}\n", f"ARG {name}={value}\n")
    outcome = project.build(f"--push={repository}", f"--no-fit-check={','.join(CASES)}")
    assert {image["fit"] for image in outcome["images"]} == {"off"}
    return Shipped(project=project, repository=repository, digests=digests_of(outcome))


def _build_image(project: Project, name: str, text: str, *options: str) -> None:
    """Build an image for both platforms and push it."""
    project.write("Dockerfile.image", text)
    argv = ["docker", "buildx", "build", "--provenance=false", f"--platform={','.join(PLATFORMS)}", "--push"]
    project.host.demand(*argv, "--file=Dockerfile.image", f"--tag={name}", *options, ".", folder=project.folder)


def _take_files(folder: Path, architecture: str) -> None:
    """Put what Debian compiled into the build context."""
    other = next(name for name in ARCHITECTURES if name != architecture)
    own = machine.debian_codename()
    musl = unpack_packages(("musl", "musl-dev"), own, architecture)
    shutil.copytree(musl, folder / "musl" / architecture, symlinks=True)
    taken = {
        "gron": (unpack_packages(("gron",), own, architecture), "usr/bin/gron"),
        "hexyl": (unpack_packages(("hexyl",), own, architecture), "usr/bin/hexyl"),
        "new-dash": (unpack_packages(("dash",), "sid", architecture), "*/dash"),
        "other-dash": (unpack_packages(("dash",), own, other), "*/dash"),
        "other-library": (unpack_packages(("musl", "musl-dev"), own, other), "lib/*/libc.so"),
        "big-endian": (unpack_packages(("busybox-static",), own, "s390x"), "bin/busybox"),
    }
    target = folder / "real" / architecture
    target.mkdir(parents=True)
    for name, (files, pattern) in taken.items():
        found = sorted(path for path in files.rglob(pattern) if path.is_file() and not path.is_symlink())
        shutil.copy(found[0], target / name)


@pytest.mark.parametrize(("name", "platform"), TRIED)
def test_the_judgement_agrees_with_the_run(shipped: Shipped, tmp_path: Path, name: str, platform: str) -> None:
    case: Case = CASES[name]
    judged = shipped.project.buildonce(
        "build", f"--platform={platform}", f"--variant={name}", f"--output=oci:{tmp_path}",
        f"--cache={shipped.repository}-cache", "--no-compile",
    )  # fmt: skip
    image = f"{shipped.repository}@{shipped.digests[(name, platform)]}"
    options = ("--rm", "--quiet", "--network=none", f"--platform={platform}", f"--entrypoint={case.command[0]}")
    ran = shipped.project.host.run("docker", "run", *options, image, *case.command[1:])
    assert (ran.code == 0) == case.runs, f"it ran otherwise than this test thinks: {ran}"
    if case.runs:
        assert judged.code == 0, judged.err
    else:
        assert judged.code == 1, f"{ran.err}\n{judged}"
        assert "error[FIT]" in judged.err
        assert case.hint in judged.err
        assert f"`{name}` ({platform}" in judged.err


def test_everything_is_told_at_once_and_no_tag_moves(shipped: Shipped) -> None:
    ran = shipped.project.buildonce("build", f"--platform={AMD64}", f"--push={shipped.repository}")
    assert ran.code == 1
    assert ran.err.count("error[FIT]") == 1
    assert "no tag was moved" in ran.err
    again = shipped.project.build(
        f"--push={shipped.repository}",
        f"--no-fit-check={','.join(name for name, case in CASES.items() if not case.runs)}",
    )
    assert {tag["outcome"] for tag in again["tags"]} == {"unchanged"}
    fits = {(image["variant"], image["fit"]) for image in again["images"]}
    assert fits == {(name, "fits" if case.runs else "off") for name, case in CASES.items()}

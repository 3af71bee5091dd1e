"""Programs that do not run on their base: what a user is told, what is shipped, and what is read for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.bases import push_bases
from tests.cli.conftest import Call
from tests.elf.writer import EXECUTABLE, make_elf
from tests.fakes.registry import FakeRegistry
from tests.fit.images import GLIBC, MUSL, foreign, program

AMD64 = "--platform=linux/amd64"
NEW = program(versions_needed={"libc.so.6": ["GLIBC_2.38"]})
FAMILY = """\
FROM glibc:1 AS one
COPY tool /usr/bin/tool
FROM glibc:1 AS two
COPY tool /usr/bin/tool
FROM glibc:1 AS three
COPY --chmod=644 text /etc/text
"""
"""A project that needs no engine."""


@pytest.fixture
def family(registry: FakeRegistry, project: Path) -> Path:
    """A project with three variants on a base with glibc, two of which get a tool that runs there."""
    push_bases(registry, "library/glibc", files={path: content for path, content in GLIBC.items() if path != "bin"})
    (project / "Dockerfile").write_text(FAMILY)
    (project / "text").write_text("text\n")
    write_tool(project, program())
    return project


def write_tool(project: Path, content: bytes) -> None:
    """Write the tool."""
    (project / "tool").write_bytes(content)
    (project / "tool").chmod(0o755)


def fits(out: str) -> Mapping[str, str]:
    """Return what an outcome says of the fit of each variant."""
    return {image["variant"]: image["fit"] for image in json.loads(out)["images"]}


def test_what_runs_is_shipped_and_said_to_fit(call: Call, family: Path) -> None:
    ran = call("build", AMD64, "--json")
    assert ran.code == 0, ran.err
    assert fits(ran.out) == {"one": "fits", "two": "fits", "three": "nothing"}
    ran = call("build", AMD64)
    assert "fit       2 fit, 1 with nothing to check (three)" in ran.out


def test_what_does_not_run_is_told_once_and_nothing_is_tagged(call: Call, family: Path, registry: FakeRegistry) -> None:
    write_tool(family, NEW)
    ran = call("build", AMD64, f"--push={registry.host}/out")
    assert ran.code == 1
    assert ran.err.count("error[FIT]") == 1
    for part in (
        "`/usr/bin/tool` needs GLIBC_2.38 of `libc.so.6`",
        "libc.so.6` offers GLIBC_2.36 at most",
        "in `one`, `two` (linux/amd64, on docker.io/library/glibc:1)",
        "no tag was moved",
        "compile it on a base that is not newer",
        "--no-fit-check one,two",
    ):
        assert part in ran.err
    sent = [request.path for request in registry.requests("PUT") if "/out/manifests/" in request.path]
    assert not [path for path in sent if "sha256" not in path], "a tag was written"


def test_a_failed_check_fails_again(call: Call, family: Path) -> None:
    write_tool(family, NEW)
    first, again = call("build", AMD64), call("build", AMD64)
    assert (first.code, again.code) == (1, 1)
    assert "error[FIT]" in again.err
    write_tool(family, program())
    assert call("build", AMD64).code == 0


def test_a_variant_can_be_left_unchecked_and_the_outcome_says_so(call: Call, family: Path) -> None:
    write_tool(family, NEW)
    assert call("build", AMD64, "--no-fit-check=one").code == 1
    ran = call("build", AMD64, "--no-fit-check=one", "--no-fit-check", "two", "--json")
    assert ran.code == 0, ran.err
    assert fits(ran.out) == {"one": "off", "two": "off", "three": "nothing"}
    assert "2 not checked (one, two)" in call("build", AMD64, "--no-fit-check=one,two").out
    assert call("build", AMD64).code == 1, "what went unchecked is checked when it is asked for"


def test_a_variant_that_is_not_there_cannot_be_left_unchecked(call: Call, family: Path) -> None:
    ran = call("build", AMD64, "--no-fit-check=on")
    assert ran.code == 2
    assert "`--no-fit-check on` names no variant" in ran.err
    assert "did you mean `--no-fit-check one`?" in ran.err


def test_a_program_for_another_platform_is_told_with_the_platform(call: Call, family: Path) -> None:
    write_tool(family, foreign(kind=EXECUTABLE))
    ran = call("build", "--platform=linux/amd64,linux/arm64")
    assert ran.code == 1
    assert "`/usr/bin/tool` is for 64-bit Arm; linux/amd64 runs 64-bit x86-64" in ran.err
    assert "linux/arm64, on" not in ran.err


def test_several_findings_are_told_together(call: Call, family: Path, registry: FakeRegistry) -> None:
    push_bases(registry, "library/musl", files=MUSL)
    with (family / "Dockerfile").open("a") as file:
        file.write("FROM musl:1 AS four\nCOPY tool script /opt/\n")
    write_tool(family, NEW)
    (family / "script").write_text("#!/bin/bash\n")
    (family / "script").chmod(0o755)
    ran = call("build", AMD64)
    assert ran.code == 1
    assert "needs GLIBC_2.38" in ran.err
    assert "needs the loader `/lib64/ld-linux-x86-64.so.2` of glibc" in ran.err
    assert "gcompat" in ran.err
    assert "`/opt/script` is run by `/bin/bash`" in ran.err


def test_the_environment_of_the_image_counts(call: Call, family: Path) -> None:
    write_tool(family, program(needed=["liba.so.1"]))
    (family / "liba.so.1").write_bytes(make_elf(soname="liba.so.1"))
    lines = "FROM glibc:1 AS one\nCOPY tool /usr/bin/tool\nCOPY liba.so.1 /opt/lib/\n"
    (family / "Dockerfile").write_text(lines)
    ran = call("build", AMD64)
    assert ran.code == 1
    assert "`/opt/lib/liba.so.1` is not where the loader looks" in ran.err
    (family / "Dockerfile").write_text(f"{lines}ENV LD_LIBRARY_PATH=/opt/lib\n")
    assert call("build", AMD64).code == 0


def test_the_same_file_for_two_platforms_is_a_warning(call: Call, project: Path, registry: FakeRegistry) -> None:
    push_bases(registry, "library/both", architectures=("386", "amd64"))
    (project / "Dockerfile").write_text("FROM both:1 AS one\nCOPY tool /bin/tool\n")
    write_tool(project, make_elf(kind=EXECUTABLE, machine=3, wide=False))
    ran = call("build", "--platform=linux/386,linux/amd64", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["warnings"] == [
        "`/bin/tool` is the same file for linux/386 and linux/amd64, in `one`: was it compiled for both?"
    ]
    assert "is the same file" in ran.err


# What is read.


def layers_read(registry: FakeRegistry) -> int:
    """Return how often a layer of a base was read, and count anew."""
    found = [one for one in registry.requests("GET") if "/glibc/blobs/" in one.path]
    registry.log.clear()
    return len(found)


def test_a_base_is_read_once_whatever_becomes_of_the_files(
    call: Call, family: Path, registry: FakeRegistry, environment: Mapping[str, str]
) -> None:
    push = f"--push={registry.host}/out"
    assert call("build", AMD64, push).code == 0
    assert layers_read(registry) > 0
    assert call("build", AMD64, push).code == 0
    assert layers_read(registry) == 0, "nothing changed"
    write_tool(family, program(data=b"changed"))
    assert call("build", AMD64, push).code == 0
    assert layers_read(registry) == 0, "only the tool changed"
    write_tool(family, NEW)
    assert call("build", AMD64, push).code == 1
    assert layers_read(registry) == 0, "what the base offers was remembered"


def test_another_machine_reads_what_a_base_offers_from_the_cache(
    call: Call, family: Path, registry: FakeRegistry, environment: Mapping[str, str]
) -> None:
    push = f"--push={registry.host}/out"
    assert call("build", AMD64, push).code == 0
    registry.log.clear()
    shutil.rmtree(environment["BUILDONCE_STATE"])
    write_tool(family, NEW)
    ran = call("build", AMD64, push)
    assert ran.code == 1
    assert "offers GLIBC_2.36 at most" in ran.err
    layers = [one for one in registry.requests("GET") if "/glibc/blobs/" in one.path]
    assert len(layers) == 1, "the image's config, and no layer"

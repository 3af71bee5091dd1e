"""Cores that were compiled elsewhere: no engine, the same images from the same files, errors that say what lacks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from buildonce.errors import ContextError
from buildonce.run.given import GivenFiles
from tests.cli.bases import push_bases
from tests.cli.conftest import Call
from tests.fakes.registry import FakeRegistry

DOCKERFILE = """\
FROM --platform=$BUILDPLATFORM rust:1 AS builder
COPY . .
RUN --mount=type=cache,target=/cache cargo build --release
FROM busybox:1 AS one
COPY --from=builder /build/app /bin/app
FROM busybox:1 AS two
COPY --from=builder --chown=app /build/app /build/share/ /opt/
ENTRYPOINT ["/opt/app"]
"""
BOTH = "--platform=linux/amd64,linux/arm64"
GIVEN = "--given=builder=dist/{os}-{arch}"


@pytest.fixture
def given(project: Path) -> Path:
    """A project whose programs were compiled elsewhere, for two platforms; `rust:1` is nowhere."""
    (project / "Dockerfile").write_text(DOCKERFILE)
    for architecture in ("amd64", "arm64"):
        folder = project / "dist" / f"linux-{architecture}" / "build"
        (folder / "share").mkdir(parents=True)
        (folder / "app").write_text(f"a program for {architecture}\n")
        (folder / "app").chmod(0o775)
        (folder / "share" / "data").write_text("the same\n")
        (folder / "share" / "link").symlink_to("data")
    return project


def digests(out: str) -> dict[str, str]:
    return {one["variant"]: one["digest"] for one in json.loads(out)["tags"]}


def test_variants_are_shipped_without_an_engine_and_without_the_builder_image(given: Path, call: Call) -> None:
    first = call("build", "--json", BOTH, GIVEN, "--no-compile")
    assert first.code == 0, first.err
    assert json.loads(first.out)["engine_runs"] == []
    assert all("core builder given" in image["reason"] for image in json.loads(first.out)["images"])
    assert digests(call("build", "--json", BOTH, GIVEN).out) == digests(first.out)


@pytest.mark.parametrize(
    "declared",
    [
        "[given]\nbuilder = 'dist/{os}-{arch}'\n",
        (
            "[given.builder]\n'/build/app' = 'dist/{os}-{arch}/build/app'\n"
            "'/build/share' = 'dist/{os}-{arch}/build/share'\n"
        ),
    ],
)
def test_what_is_given_may_stand_in_the_file(given: Path, call: Call, declared: str) -> None:
    before = digests(call("build", "--json", BOTH, GIVEN).out)
    (given / "buildonce.toml").write_text(declared)
    ran = call("build", "--json", BOTH)
    assert ran.code == 0, ran.err
    assert digests(ran.out) == before


def test_the_same_files_in_another_checkout_are_the_same_images(given: Path, call: Call) -> None:
    before = digests(call("build", "--json", BOTH, GIVEN).out)
    app = given / "dist" / "linux-arm64" / "build" / "app"
    text = app.read_text()
    app.unlink()
    app.write_text(text)
    app.chmod(0o700)
    assert digests(call("build", "--json", BOTH, GIVEN).out) == before
    app.write_text(text + "# more\n")
    assert digests(call("build", "--json", BOTH, GIVEN).out).keys() == before.keys()
    assert digests(call("build", "--json", BOTH, GIVEN).out) != before


def test_a_folder_that_is_a_link_is_the_folder(given: Path, call: Call) -> None:
    before = digests(call("build", "--json", BOTH, GIVEN).out)
    (given / "dist").rename(given / "elsewhere")
    (given / "dist").mkdir()
    for platform in ("linux-amd64", "linux-arm64"):
        (given / "dist" / platform).symlink_to(given / "elsewhere" / platform)
    assert digests(call("build", "--json", BOTH, GIVEN).out) == before
    (given / "dist" / "linux-arm64").unlink()
    (given / "dist" / "linux-arm64").symlink_to("nowhere")
    assert "but not for linux/arm64" in call("build", "--json", BOTH, GIVEN).err


def test_the_plan_says_that_the_files_are_given(given: Path, call: Call) -> None:
    ran = call("plan", BOTH, GIVEN)
    assert ran.code == 0, ran.err
    assert "its files are given" in ran.out
    document = json.loads(call("plan", "--json", BOTH, GIVEN).out)
    assert document["compiles"] == document["engine_runs"] == 0


def test_what_changed_in_given_files_is_explained(given: Path, call: Call) -> None:
    assert call("build", BOTH, GIVEN).code == 0
    (given / "dist" / "linux-amd64" / "build" / "share" / "data").write_text("other\n")
    ran = call("explain", BOTH, GIVEN)
    assert ran.code == 0, ran.err
    assert "file changed: `build/share/data`" in ran.out


def test_a_missing_platform_is_named(given: Path, call: Call) -> None:
    (given / "dist" / "linux-arm64").rename(given / "dist" / "linux-aarch64")
    ran = call("build", BOTH, GIVEN)
    assert ran.code == 2
    assert "the core `builder` is given, but not for linux/arm64" in ran.err


def test_a_missing_file_is_named(given: Path, call: Call) -> None:
    (given / "dist" / "linux-amd64" / "build" / "app").unlink()
    ran = call("build", BOTH, GIVEN)
    assert ran.code == 2
    assert "the given core `builder linux/amd64` has no `/build/app`, which is copied from it" in ran.err


def test_a_program_that_lost_its_executable_bit_is_named(given: Path, call: Call) -> None:
    app = given / "dist" / "linux-amd64" / "build" / "app"
    app.write_bytes(b"\x7fELF" + bytes(60))
    app.chmod(0o644)
    ran = call("build", BOTH, GIVEN)
    assert ran.code == 2
    assert "dist/linux-amd64/build/app` is a program that is given, and nobody may execute it" in ran.err
    assert "chmod +x dist/linux-amd64/build/app" in ran.err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("builder", "`--given builder` is no stage and folder"),
        ("=dist", "`--given =dist` is no stage and folder"),
        ("buidler=dist/{os}-{arch}", "a core is given for the stage `buidler`, which no Dockerfile has"),
        ("builder=dist/{platform}", "`dist/{platform}` is no path for given files"),
        ("builder=dist/{os", "`dist/{os` is no path for given files"),
        ("builder=dist/{os:99999999999}", "`dist/{os:99999999999}` is no path for given files"),
        ("builder=dist/{os.x}", "`dist/{os.x}` is no path for given files"),
    ],
)
def test_a_wrong_option_is_said(given: Path, call: Call, option: str, message: str) -> None:
    ran = call("build", BOTH, f"--given={option}")
    assert ran.code == 2
    assert message in ran.err


def test_a_variant_that_starts_from_a_given_stage_is_refused(given: Path, call: Call) -> None:
    (given / "Dockerfile").write_text(DOCKERFILE + "FROM builder AS tests\nRUN make check\n")
    ran = call("build", BOTH, GIVEN)
    assert ran.code == 2
    assert "variant `tests` is built FROM the stage `builder`, whose files are given" in ran.err


def test_a_stage_that_reads_a_given_one_gets_its_files_in_its_key(
    given: Path, call: Call, registry: FakeRegistry
) -> None:
    push_bases(registry, "library/alpine", "3")
    text = DOCKERFILE + "FROM alpine:3 AS packed\nRUN --mount=from=builder,source=/build,target=/in tar -cf /x /in\n"
    (given / "Dockerfile").write_text(text + "FROM busybox:1 AS three\nCOPY --from=packed /x /x\n")

    def key() -> str:
        cores = json.loads(call("plan", "--json", "--platform=linux/amd64", GIVEN).out)["cores"]
        return str(next(one["key"] for one in cores if one["name"] == "packed"))

    before = key()
    (given / "dist" / "linux-amd64" / "build" / "app").write_text("another")
    assert key() != before


UPX = """\
FROM scratch AS deps
COPY main /deps
FROM busybox:1 AS builder
COPY --from=deps /deps /deps
COPY main /src
RUN compile
FROM busybox:1 AS packed
COPY --from=builder /build/app /app
RUN upx /app
FROM busybox:1 AS one
COPY --from=packed /app /bin/app
"""


def test_a_stage_between_a_given_one_and_a_variant_is_made_from_what_is_given(given: Path, call: Call) -> None:
    (given / "Dockerfile").write_text(UPX)
    (given / "main").write_text("1")
    document = json.loads(call("plan", "--json", "--platform=linux/amd64", GIVEN).out)
    assert {core["name"]: core["action"] for core in document["cores"]} == {"builder": "read", "packed": "compile"}
    assert [image["variant"] for image in document["images"]] == ["one"], "what the given stage read is no variant"


def test_a_core_that_starts_from_a_given_stage_is_refused(given: Path, call: Call) -> None:
    text = "FROM busybox:1 AS builder\nRUN compile\nFROM builder AS stripped\nRUN strip\n"
    (given / "Dockerfile").write_text(text + "FROM busybox:1 AS one\nCOPY --from=stripped /build/app /bin/app\n")
    ran = call("plan", "--platform=linux/amd64", GIVEN)
    assert ran.code == 2
    assert "the stage `stripped` is built FROM the stage `builder`, whose files are given" in ran.err


def test_links_in_what_is_given_are_followed_as_a_copy_follows_them(given: Path, call: Call) -> None:
    (given / "Dockerfile").write_text(
        "FROM scratch AS builder\nFROM busybox:1 AS one\nCOPY --from=builder /build/current/app /build/link /bin/\n"
    )
    build = given / "dist" / "linux-amd64" / "build"
    (build / "v1").mkdir()
    (build / "v1" / "app").write_text("a program")
    (build / "current").symlink_to("v1")
    (build / "link").symlink_to("/build/share/data")
    (build / "round").symlink_to("round/round")
    ran = call("build", "--json", "--platform=linux/amd64", GIVEN)
    assert ran.code == 0, ran.err


def test_given_files_are_those_of_today_in_a_comparison_with_a_revision(
    given: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (given / ".gitignore").write_text("dist\n")
    (given / "buildonce.toml").write_text('[given]\nbuilder = "dist/{os}-{arch}"\n')
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        argv = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *command]
        subprocess.run(argv, check=True, cwd=given)
    ran = call("explain", "--since", "HEAD", "--platform=linux/amd64")
    assert ran.code == 0, ran.err


def test_files_that_vanish_while_they_are_read_are_an_error_that_can_be_waited_out(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("1")
    files = GivenFiles({"/app": tmp_path / "app"})
    (tmp_path / "app").unlink()
    with pytest.raises(ContextError, match="is given, and cannot be read"):
        _ = files.entries

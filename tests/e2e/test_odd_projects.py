"""Odd projects, and ordinary ones on a bad day: whatever is shipped equals the plain build."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import tarfile
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.comparison import image_differences, render
from tests.e2e.harness import (
    AMD64,
    ARM64,
    PLATFORMS,
    Document,
    Host,
    Project,
    digests_of,
    engine_nodes,
    moved_tags,
    new_project,
    pushed_images,
    tags_of,
)
from tests.e2e.images import Image, images_of, layout_blobs, layout_digests, read_image
from tests.e2e.plain import Order, plain_build, plain_builds
from tests.e2e.zoo import FILES, ZOO

pytestmark = pytest.mark.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The zoo built: the outcome, the layout with the images, and the project as it was."""

    outcome: Document
    layout: Path
    project: Path


@pytest.fixture(scope="session")
def zoo(host: Host, run_id: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Visit]:
    """The zoo, built from nothing, and again after every file of the core changed."""
    folder = tmp_path_factory.mktemp("zoo")
    project = new_project(host, folder, FILES)
    visits = {}
    for name in ("first", "again"):
        project.write("version.txt", f"{name} {run_id}\n")
        # What `scratch-only` gets is a script, and nothing there runs it.
        options = ("--output", f"oci:{folder / 'out'}", "--no-fit-check=scratch-only")
        outcome = project.build(*options, platforms=(AMD64,))
        # A plain build knows nothing of the folder that buildonce keeps in a project without a registry.
        shutil.copytree(project.folder, folder / name, ignore=shutil.ignore_patterns(".buildonce"))
        visits[name] = Visit(outcome=outcome, layout=folder / "out", project=folder / name)
    return visits


def assert_plain(host: Host, folder: Path, plain: Path, shipped: Image, *arguments: str, target: str) -> None:
    """Fail unless an image is what a plain build makes of a project's target."""
    platform = f"{shipped.config['os']}/{shipped.config['architecture']}"
    built = plain_build(host, folder, plain, target=target, platform=platform, arguments=arguments)
    differences = image_differences(built, shipped)
    assert not differences, render(differences)


def shipped_image(layout: Path, outcome: Document, variant: str, platform: str = AMD64) -> Image:
    """Return a shipped image."""
    return read_image(layout_blobs(layout), digests_of(outcome)[(variant, platform)])


# One Dockerfile with many variants, each of them odd in another way.


WITH_TAILS = ("harmless-tail", "listing", "breaking", "deleting", "chowning")
LOOKED_AT = [*(("first", variant) for variant in WITH_TAILS), *(("again", variant) for variant in ZOO)]


@pytest.fixture(scope="session")
def plainly(
    host: Host, zoo: dict[str, Visit], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Order, Future[Image]]]:
    """The zoo, built plainly."""
    orders = (Order(zoo[visit].project, variant.lower()) for visit, variant in LOOKED_AT)
    with plain_builds(host, orders, tmp_path_factory.mktemp("plainly")) as built:
        yield built


@pytest.mark.parametrize(("visit", "variant"), LOOKED_AT)
def test_variant_equals_a_plain_build_when_it_is_new_and_after_the_core_changed(
    zoo: dict[str, Visit], plainly: Mapping[Order, Future[Image]], visit: str, variant: str
) -> None:
    place, name = zoo[visit], variant.lower()
    shipped = shipped_image(place.layout, place.outcome, name)
    differences = image_differences(plainly[Order(place.project, name)].result(), shipped)
    assert not differences, render(differences)


@pytest.mark.parametrize("visit", ["first", "again"])
def test_each_variant_comes_about_as_it_should(zoo: dict[str, Visit], visit: str) -> None:
    made = {image["variant"]: (image["made"], image["verdict"]) for image in zoo[visit].outcome["images"]}
    assert made == {name.lower(): (animal.made, animal.verdict) for name, animal in ZOO.items()}


def test_bases_and_proofs_of_the_zoo_are_made_once(zoo: dict[str, Visit]) -> None:
    first, again = zoo["first"].outcome, zoo["again"].outcome
    changed = [f"builder {AMD64}", f"packer {AMD64}"]
    assert engine_nodes(first, "compile") == [changed[0], f"maker {AMD64}", changed[1]]
    assert engine_nodes(again, "compile") == changed
    assert engine_nodes(first, "prove")
    # The builder is the base of what is built on it, and an ADD takes the changed file from the context.
    assert engine_nodes(again, "base") == [f"builder {AMD64}", f"of-an-image {AMD64}"]
    assert engine_nodes(again, "prove") == [f"of-an-image {AMD64}"]
    by_engine = sorted(f"{name} {AMD64}" for name, animal in ZOO.items() if animal.made == "built")
    assert engine_nodes(again, "build") == by_engine


def test_the_reason_for_an_engine_is_told(zoo: dict[str, Visit]) -> None:
    reasons = {image["variant"]: image["reason"] for image in zoo["first"].outcome["images"]}
    assert reasons["listing"].startswith("leaving out the late copies changes the result: /listing")
    assert reasons["breaking"].startswith("without the copied files the build fails")
    assert "RUN --mount" in reasons["mounting"]
    assert "ONBUILD" in reasons["triggered"]


def test_each_layout_tag_is_an_index_over_the_image(zoo: dict[str, Visit]) -> None:
    visit = zoo["again"]
    tags = layout_digests(visit.layout)
    assert tags == tags_of(visit.outcome)
    for name in (name.lower() for name in ZOO):
        images = images_of(layout_blobs(visit.layout), tags[name])
        assert images == {AMD64: digests_of(visit.outcome)[(name, AMD64)]}


# Projects of other shapes.

TOOL = "RUN mkdir /out && cp version.txt /out/tool && chmod 0755 /out/tool"
SMALL = f"FROM busybox:1.36-glibc AS builder\nCOPY version.txt .\n{TOOL}\n"


def small(host: Host, folder: Path, run_id: str, dockerfile: str, **files: str) -> Project:
    """Return a project with a builder of one file that nobody has built before."""
    return new_project(host, folder, {"Dockerfile": dockerfile, "version.txt": f"{run_id}\n", **files})


def test_from_scratch_with_one_late_copy_needs_the_compile_alone(host: Host, run_id: str, tmp_path: Path) -> None:
    project = small(host, tmp_path, run_id, f"{SMALL}FROM scratch AS bare\nCOPY --from=builder /out/tool /\n")
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(AMD64,))
    assert [run["activity"] for run in outcome["engine_runs"]] == ["compile"]
    shipped = shipped_image(tmp_path / "out", outcome, "bare")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="bare")


def test_a_builder_on_the_build_platform_is_compiled_once_for_all(host: Host, run_id: str, tmp_path: Path) -> None:
    builder = SMALL.replace("FROM", "FROM --platform=$BUILDPLATFORM", 1)
    project = small(
        host,
        tmp_path,
        run_id,
        f"{builder}FROM busybox:1.36-glibc AS app\nCOPY --from=builder /out/tool /bin/own-tool\n",
    )
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}")
    assert engine_nodes(outcome, "compile") == [f"builder {AMD64}"]
    assert len(outcome["engine_runs"]) == 1
    for platform in PLATFORMS:
        shipped = shipped_image(tmp_path / "out", outcome, "app", platform)
        assert_plain(host, project.folder, tmp_path / "plain", shipped, target="app")


def test_a_cross_compiling_builder_is_compiled_for_each_target(host: Host, run_id: str, tmp_path: Path) -> None:
    builder = (
        "FROM --platform=$BUILDPLATFORM busybox:1.36-glibc AS builder\nARG TARGETARCH BUILDARCH\nCOPY version.txt .\n"
        f"{TOOL} && echo $BUILDARCH $TARGETARCH >> /out/tool\n"
    )
    project = small(
        host,
        tmp_path,
        run_id,
        f"{builder}FROM busybox:1.36-glibc AS app\nCOPY --from=builder /out/tool /bin/own-tool\n",
    )
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}")
    assert engine_nodes(outcome, "compile") == [f"builder {AMD64}"] * 2
    for platform in PLATFORMS:
        shipped = shipped_image(tmp_path / "out", outcome, "app", platform)
        assert_plain(host, project.folder, tmp_path / "plain", shipped, target="app")


def test_the_same_builder_pasted_into_two_dockerfiles_is_compiled_once(host: Host, run_id: str, tmp_path: Path) -> None:
    one = f"{SMALL}FROM busybox:1.36-glibc AS one\nCOPY --from=builder /out/tool /bin/one\n"
    two = f"# another file\n\n{SMALL.replace('AS builder', 'AS compiler')}"
    two += "FROM busybox:1.36-glibc\nCOPY --from=compiler /out/tool /usr/bin/two\nRUN mkdir /two\n"
    project = small(host, tmp_path, run_id, one, **{"Dockerfile.two": two})
    files = ("-f", "Dockerfile", "-f", "Dockerfile.two")
    outcome = project.build(*files, "--output", f"oci:{tmp_path / 'out'}")
    assert len(engine_nodes(outcome, "compile")) == len(PLATFORMS)
    assert sorted(tags_of(outcome)) == ["one", "two"]
    shipped = shipped_image(tmp_path / "out", outcome, "one")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="one")
    shipped = shipped_image(tmp_path / "out", outcome, "two", ARM64)
    assert_plain(
        host, project.folder, tmp_path / "plain", shipped, "-f", str(project.folder / "Dockerfile.two"), target=""
    )


def test_a_variant_that_is_pinned_to_another_platform(host: Host, run_id: str, tmp_path: Path) -> None:
    pinned = f"FROM --platform={AMD64} busybox:1.36-glibc AS pinned\nCOPY --from=builder /out/tool /bin/own-tool\n"
    project = small(host, tmp_path, run_id, SMALL + pinned)
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(ARM64,))
    shipped = shipped_image(tmp_path / "out", outcome, "pinned", ARM64)
    assert shipped.config["architecture"] == "arm64"
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="pinned")


def test_two_runs_at_the_same_time(host: Host, run_id: str, tmp_path: Path) -> None:
    tail = "FROM busybox:1.36-glibc AS app\nCOPY --from=builder /out/tool /bin/own-tool\nRUN mkdir /made\n"
    project = small(host, tmp_path, run_id, SMALL + tail)
    others = (project, replace(project, state=tmp_path / "other state"))
    with ThreadPoolExecutor() as pool:
        options = ("--output", f"oci:{tmp_path / 'out'}")
        runs = [pool.submit(one.build, *options, platforms=(AMD64,)) for one in others]
    one, other = (run.result() for run in runs)
    assert tags_of(one) == tags_of(other) == layout_digests(tmp_path / "out")
    shipped = shipped_image(tmp_path / "out", one, "app")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="app")


def test_two_hundred_stages_on_top_of_each_other(host: Host, run_id: str, tmp_path: Path) -> None:
    stages = "".join(
        f"FROM stage{number - 1} AS stage{number}\nENV E{number % 7}={number}\n" for number in range(1, 200)
    )
    late = "FROM busybox:1.36-glibc AS stage0\nCOPY --from=builder /out/tool /bin/own-tool\n"
    project = small(host, tmp_path, run_id, f"{SMALL}{late}{stages}")
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(AMD64,))
    assert [run["activity"] for run in outcome["engine_runs"]] == ["compile"]
    shipped = shipped_image(tmp_path / "out", outcome, "stage199")
    assert len(shipped.config["history"]) > 199
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="stage199")


def test_carriage_returns_a_byte_order_mark_and_another_escape(host: Host, run_id: str, tmp_path: Path) -> None:
    text = (
        "# escape=`\n# a comment\nARG base=busybox:1.36-glibc\nfrom $base as builder\ncopy version.txt .\n"
        "run mkdir /out `\n # between\n\n && cp version.txt `\n   /out/tool\n"
        "from ${base}\ncopy --from=builder `\n /out/tool `\n /bin/own\n"
        'run ["/bin/mkdir", `\n "/made"]\ncmd ["own"]\n'
    )
    project = small(host, tmp_path, run_id, "")
    (project.folder / "Dockerfile").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(AMD64,))
    assert list(tags_of(outcome)) == ["project"], "a stage without a name is called after its folder"
    shipped = shipped_image(tmp_path / "out", outcome, "project")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="")


def test_bytes_that_are_no_text_in_a_dockerfile(host: Host, run_id: str, tmp_path: Path) -> None:
    early = b"FROM busybox:1.36-glibc AS app\nENV A=caf\xe9\nARG B=\xe9\nRUN echo $A $B >/seen\n# \xe9\n"
    late = (
        b'COPY --from=builder /out/tool /bin/caf\xe9\nCOPY <<"E" /x\n\xe9\nE\nCOPY <<E /y\n\xe9\nE\nCMD echo caf\xe9\n'
        b'ENTRYPOINT ["caf\xe9"]\nHEALTHCHECK CMD caf\xe9\nSHELL ["sh", "\xe9"]\nONBUILD RUN \xe9\nLABEL \xe9=\xe9\n'
        b"WORKDIR /caf\xe9\nVOLUME /\xe9\nMAINTAINER \xe9\nENV E=\xe9 F=$E\nEXPOSE 80\n"
    )
    project = small(host, tmp_path, run_id, "")
    (project.folder / "Dockerfile").write_bytes(SMALL.encode() + early + late)
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(AMD64,))
    shipped = shipped_image(tmp_path / "out", outcome, "app")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="app")


def test_a_link_below_a_wildcard_of_the_context(host: Host, run_id: str, tmp_path: Path) -> None:
    """BuildKit does not send what it leads to, unless something else asks for it: `b` comes out empty."""
    copies = "COPY --from=builder /out/tool /\nCOPY [a-r]*/* /all/\n"
    project = small(host, tmp_path, run_id, f"{SMALL}FROM scratch AS app\n{copies}", **{"real/x": "x"})
    (project.folder / "a").mkdir()
    (project.folder / "a/link").symlink_to("../real")
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(AMD64,))
    assert [image["made"] for image in outcome["images"]] == ["built"]
    shipped = shipped_image(tmp_path / "out", outcome, "app")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="app")


def test_names_of_files_that_are_no_text(host: Host, run_id: str, tmp_path: Path) -> None:
    late = (
        "RUN touch /out/$(printf 'caf\\351') && ln -s $(printf 'th\\351') /out/link\n"
        "FROM busybox:1.36-glibc AS app\nCOPY --from=builder /out /out\n"
    )
    project = small(host, tmp_path, run_id, SMALL + late)
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(AMD64,))
    shipped = shipped_image(tmp_path / "out", outcome, "app")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="app")


@pytest.mark.parametrize("history", [None, []], ids=["no history", "empty history"])
def test_a_base_without_history(
    host: Host, repository: str, run_id: str, tmp_path: Path, history: list[Any] | None
) -> None:
    push_base(repository, {} if history is None else {"history": history})
    project = small(
        host, tmp_path, run_id,
        f"{SMALL}FROM {repository}:base AS app\nCOPY --from=builder /out/tool /opt/a/tool\nWORKDIR /w\nENV A=1\n",
    )  # fmt: skip
    outcome = project.build("--output", f"oci:{tmp_path / 'out'}", platforms=(AMD64,))
    shipped = shipped_image(tmp_path / "out", outcome, "app")
    plain = plain_build(host, project.folder, tmp_path / "plain", target="app", platform=AMD64)
    differences = image_differences(_without_counts(plain), _without_counts(shipped))
    assert not differences, render(differences)


def _without_counts(image: Image) -> Image:
    """Return an image whose history does not count steps.

    Where a base has layers without history, BuildKit makes the history up of its progress messages (`[app 2/3] ...`),
    and those count the steps of whatever build happened to run.
    """
    history = [
        {**entry, "created_by": re.sub(r"^(\[\S+) \d+/\d+\]", r"\1]", entry.get("created_by", ""))}
        for entry in image.config["history"]
    ]
    return replace(image, config={**image.config, "history": history})


def test_a_file_that_the_stage_does_not_have(host: Host, run_id: str, tmp_path: Path) -> None:
    project = small(
        host, tmp_path, run_id, f"{SMALL}FROM busybox:1.36-glibc AS app\nCOPY --from=builder /out/no-tool /bin/tool\n"
    )
    ran = project.buildonce("build", f"--platform={AMD64}", "--output", f"oci:{tmp_path / 'out'}")
    assert ran.code == 1
    assert '"/out/no-tool": not found' in ran.err
    assert "builder" in ran.err
    assert AMD64 in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "out" / "index.json").exists()


def test_a_link_to_nothing_that_is_copied_itself(host: Host, run_id: str, tmp_path: Path) -> None:
    dockerfile = (
        f"{SMALL}RUN ln -s /nowhere /out/lost\nFROM busybox:1.36-glibc AS app\nCOPY --from=builder /out/lost /x\n"
    )
    project = small(host, tmp_path, run_id, dockerfile)
    plain = host.run("docker", "buildx", "build", "--quiet", f"--platform={AMD64}", project.folder)
    ran = project.buildonce("build", f"--platform={AMD64}", "--output", f"oci:{tmp_path / 'out'}")
    assert plain.code != 0
    assert (ran.code, "Traceback" in ran.err) == (1, False)
    assert not (tmp_path / "out" / "index.json").exists()


def test_the_own_folder_is_no_part_of_the_context(host: Host, run_id: str, tmp_path: Path) -> None:
    dockerfile = f"{SMALL}FROM busybox:1.36-glibc AS app\nCOPY --from=builder /out/tool /x\nCOPY . /context\n"
    project = small(host, tmp_path, run_id, dockerfile)
    shutil.copytree(project.folder, tmp_path / "before")
    first = project.build(platforms=(AMD64,))
    assert (project.folder / ".buildonce").is_dir()
    second = project.build(platforms=(AMD64,))
    assert (second["engine_runs"], pushed_images(second), moved_tags(second)) == ([], [], [])
    assert digests_of(second) == digests_of(first)
    shipped = shipped_image(project.folder / ".buildonce" / "images", first, "app")
    assert_plain(host, tmp_path / "before", tmp_path / "plain", shipped, target="app")


def test_build_arguments_split_what_uses_them_and_nothing_else(host: Host, run_id: str, tmp_path: Path) -> None:
    dockerfile = (
        f"{SMALL}FROM busybox:1.36-glibc AS app\nARG COLOUR=none\nARG PLACE=/opt\n"
        "COPY --from=builder /out/tool ${PLACE}/tool\nLABEL colour=$COLOUR\nENV COLOUR=$COLOUR\n"
    )
    project = small(host, tmp_path, run_id, dockerfile)
    out = ("--output", f"oci:{tmp_path / 'out'}")
    project.build(*out, platforms=(AMD64,))
    arguments = ("--build-arg=COLOUR=a b", "--build-arg=PLACE=/srv/x", "--build-arg=UNUSED=1")
    outcome = project.build(*out, *arguments, platforms=(AMD64,))
    assert outcome["engine_runs"] == [], "the builder takes none of them"
    shipped = shipped_image(tmp_path / "out", outcome, "app")
    assert_plain(host, project.folder, tmp_path / "plain", shipped, *arguments, target="app")


def test_source_date_epoch_is_the_time_of_everything_new(host: Host, run_id: str, tmp_path: Path) -> None:
    dockerfile = (
        f"{SMALL}FROM busybox:1.36-glibc AS app\nCOPY --from=builder /out/tool /new/tool\nCOPY version.txt /new/\n"
    )
    project = small(host, tmp_path, run_id, dockerfile)
    arguments = ("build", "--json", f"--platform={AMD64}", "--output", f"oci:{tmp_path / 'out'}")
    outcome = project.buildonce(*arguments, environment={"SOURCE_DATE_EPOCH": "1700000000"}).document
    shipped = shipped_image(tmp_path / "out", outcome, "app")
    assert shipped.config["created"] == "2023-11-14T22:13:20Z"
    assert {entry["created"] for entry in shipped.config["history"][1:]} == {"2023-11-14T22:13:20Z"}
    times = {entry.path: entry.mtime for layer in shipped.layers[1:] for entry in layer.entries}
    assert times["new"] == times["new/version.txt"] == 1_700_000_000
    assert_plain(host, project.folder, tmp_path / "plain", shipped, target="app")


def push_base(repository: str, extra: dict[str, Any]) -> None:
    """Push an image of two small layers whose config has, of what need not be there, only ``extra``."""
    archives = [_archive("opt/"), _archive("etc/", "etc/passwd", "opt/", "opt/a/")]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [_digest(archive) for archive in archives]},
        **extra,
    }
    layers = [gzip.compress(archive, mtime=0) for archive in archives]
    content = json.dumps(config).encode()
    for blob in (*layers, content):
        _upload(repository, blob)
    types = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": types[0], "digest": _digest(content), "size": len(content)},
        "layers": [{"mediaType": types[1], "digest": _digest(blob), "size": len(blob)} for blob in layers],
    }
    host, _, name = repository.partition("/")
    _send("PUT", f"http://{host}/v2/{name}/manifests/base", json.dumps(manifest).encode(), manifest["mediaType"])


def _archive(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.mode = (tarfile.DIRTYPE, 0o755) if name.endswith("/") else (tarfile.REGTYPE, 0o644)
            archive.addfile(member)
    return out.getvalue()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _upload(repository: str, content: bytes) -> None:
    host, _, name = repository.partition("/")
    location = _send("POST", f"http://{host}/v2/{name}/blobs/uploads/", b"", "application/octet-stream")
    joint = "&" if "?" in location else "?"
    _send("PUT", f"{location}{joint}digest={_digest(content)}", content, "application/octet-stream")


def _send(method: str, url: str, content: bytes, media_type: object) -> str:
    headers = {"Content-Type": str(media_type), "Content-Length": str(len(content))}
    with urllib.request.urlopen(urllib.request.Request(url, content, headers, method=method)) as answer:
        return str(answer.headers.get("Location", ""))

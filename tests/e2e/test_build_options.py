"""What a build is told besides its Dockerfile reaches RUN and the image as with `docker buildx build`."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.buildah import set_up, take_down
from tests.e2e.comparison import image_differences, render
from tests.e2e.dockerds import dockerd
from tests.e2e.harness import AMD64, PLATFORMS, Document, Host, Project, digests_of, engine_nodes, new_project, tags_of
from tests.e2e.images import layout_blobs, read_image
from tests.e2e.plain import plain_build

pytestmark = pytest.mark.host

SEEN = """\
FROM busybox:1.36-glibc AS builder
RUN --mount=type=secret,id=file,required=true --mount=type=secret,id=variable,required=true \\
    mkdir /out; wc -c < /run/secrets/file > /out/file; wc -c < /run/secrets/variable > /out/variable
RUN grep -c known.example /etc/hosts > /out/hosts; ulimit -Sn > /out/soft; ulimit -Hn > /out/hard
FROM busybox:1.36-glibc AS app
LABEL kept=yes replaced=no
COPY --from=builder /out /out
FROM busybox:1.36-glibc AS other
LABEL replaced=no
COPY --from=builder /out /out
RUN cat /out/hosts > /copied; grep known.example /etc/hosts > /line
"""
TOLD = (
    *("--secret", "id=file,src=token", "--secret", "id=variable,env=TOKEN", "--ulimit", "nofile=777:888"),
    *("--add-host", "known.example=10.9.8.7", "--shm-size", "33m"),
    *("--label", "replaced=yes", "--label", "org.opencontainers.image.title=a, b"),
)
TOKEN = {"TOKEN": "four"}


@pytest.fixture
def project(host: Host, tmp_path: Path, run_id: str) -> Project:
    host = replace(host, environment={**host.environment, **TOKEN})
    files = {"Dockerfile": f"{SEEN}# {run_id}\n", "token": "12345", ".dockerignore": "token\n"}
    return new_project(host, tmp_path, files)


def build(project: Project, *arguments: str, state: str = "state") -> Document:
    return replace(project, state=project.folder.parent / state).build(*arguments, platforms=(AMD64,))


def shipped(project: Project, outcome: Document, variant: str, place: str = ".buildonce/images") -> Any:
    return read_image(layout_blobs(project.folder / place), digests_of(outcome)[(variant, AMD64)])


@pytest.mark.parametrize("variant", ["app", "other"])
def test_what_is_told_gives_what_a_plain_build_gives(
    project: Project, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)  # a secret's file is relative to where the command runs
    outcome = build(project, "--variant", variant, *TOLD)
    made = {image["variant"]: image["made"] for image in outcome["images"]}
    assert made == {variant: {"app": "assembled", "other": "built"}[variant]}
    plain = plain_build(
        project.host, project.folder, tmp_path / "plain", target=variant, platform=AMD64, arguments=TOLD
    )
    image = shipped(project, outcome, variant)
    differences = image_differences(plain, image)
    assert not differences, render(differences)
    assert image.config["config"]["Labels"]["replaced"] == "yes"


def test_buildah_is_told_the_same(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    of_buildkit = build(project, "--variant", "app", *TOLD)
    first = shipped(project, of_buildkit, "app")
    folder = tmp_path_factory.mktemp("buildah")
    installed = set_up(project.host, folder)
    try:
        other = replace(project, host=replace(project.host, environment=installed.environment))
        output = ("--output", "oci:second", "--cache", "oci:second-cache", "--variant", "app")
        outcome = build(other, *output, *TOLD, state="second-state")
    finally:
        take_down(folder)
    assert engine_nodes(outcome, "compile") == [f"builder {AMD64}"]
    second = shipped(project, outcome, "app", "second")
    assert [layer.diff_id for layer in second.layers] == [layer.diff_id for layer in first.layers]
    assert second.config["config"] == first.config["config"]


NETWORKS = """\
FROM busybox:1.36-glibc AS builder
RUN ls /sys/class/net | sort > /networks
FROM busybox:1.36-glibc AS app
COPY --from=builder /networks /networks
"""


def test_a_network_is_a_named_input(host: Host, tmp_path: Path, run_id: str) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": f"{NETWORKS}# {run_id}\n"})
    none = build(project, "--network", "none")
    assert engine_nodes(none, "compile") == [f"builder {AMD64}"]
    assert engine_nodes(build(project, "--network", "none"), "compile") == []
    explained = project.buildonce("explain", "builder", "--platform", AMD64, "--network", "host")
    assert re.search(r"network.*none.*host", explained.out, re.DOTALL), explained.out
    of_host = build(project, "--network", "host")
    assert engine_nodes(of_host, "compile") == [f"builder {AMD64}"]
    assert digests_of(none) != digests_of(of_host)
    for outcome, network in ((none, "none"), (of_host, "host")):
        plain = plain_build(
            host, project.folder, tmp_path / "plain", target="app", platform=AMD64, arguments=("--network", network)
        )
        differences = image_differences(plain, shipped(project, outcome, "app"))
        assert not differences, render(differences)


def test_what_a_secret_says_is_no_input(project: Project) -> None:
    assert engine_nodes(build(project, *TOLD), "compile") == [f"builder {AMD64}"]
    project.write("token", "another one")
    assert build(project, *TOLD)["engine_runs"] == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("--secret", "id=file,src=nothing"), "the secret `file` is the file nothing, which is not there"),
        (("--secret", "id=file,env=NOTHING"), "the secret `file` is the variable NOTHING, which is not set, or empty"),
        (("--ssh", "default"), "the SSH agent `default` is the one at SSH_AUTH_SOCK, which is not set"),
        (("--ssh", "key=./nothing"), "the SSH agent `key` is ./nothing, which is not there"),
    ],
)
def test_what_is_not_there_is_said_before_an_engine_starts(project: Project, told: tuple[str, ...], said: str) -> None:
    ran = project.buildonce("build", "--variant", "app", *told, environment={"SSH_AUTH_SOCK": ""})
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert "#1 " not in ran.err


AGENT = """\
FROM busybox:1.36-glibc AS builder
RUN --mount=type=ssh,required=true test -S "$SSH_AUTH_SOCK" && echo yes > /asked
FROM busybox:1.36-glibc AS app
COPY --from=builder /asked /asked
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    return tmp_path / "key"


def test_an_ssh_key_reaches_run(host: Host, tmp_path: Path, run_id: str, key: Path) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": f"{AGENT}# {run_id}\n"})
    outcome = build(project, "--ssh", f"default={key}")
    assert any(entry.path == "asked" for layer in shipped(project, outcome, "app").layers for entry in layer.entries)


RANDOM = """\
FROM busybox:1.36-glibc AS builder
RUN cat /proc/sys/kernel/random/uuid > /made
FROM busybox:1.36-glibc AS base
RUN cat /proc/sys/kernel/random/uuid > /based
FROM base AS app
COPY --from=builder /made /made
"""


def contents(project: Project, outcome: Document, place: str = ".buildonce/images") -> dict[str, str]:
    image = shipped(project, outcome, "app", place)
    return {entry.path: entry.digest for layer in image.layers for entry in layer.entries if entry.path in PATHS}


PATHS = ("made", "based")


def test_no_cache_makes_everything_anew_and_its_filter_what_comes_from_a_stage(
    host: Host, tmp_path: Path, run_id: str
) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": f"{RANDOM}# {run_id}\n"})
    first = contents(project, build(project))
    assert contents(project, build(project)) == first
    said = project.buildonce("plan", "--platform", AMD64, "--no-cache").out
    assert said.count("it is to be made anew (no-cache)") == 2, said
    all_anew = contents(project, build(project, "--no-cache"))
    assert all(all_anew[path] != first[path] for path in PATHS)
    one_anew = contents(project, build(project, "--no-cache-filter", "builder"))
    assert one_anew["based"] == all_anew["based"]
    assert one_anew["made"] != all_anew["made"]
    assert contents(project, build(project)) == one_anew


AGED = """\
FROM busybox:1.36-glibc AS builder
RUN echo a > /app
FROM busybox:1.36-glibc AS app
RUN cat /proc/sys/kernel/random/uuid > /stamp
COPY --from=builder /app /app
RUN mkdir /later && echo later > /later/stamp
"""


def test_what_is_made_anew_is_not_disproven_by_what_an_engine_made_before(
    host: Host, tmp_path: Path, run_id: str
) -> None:
    """The base is new then, and the engine still has all that the faithful build did the last time."""
    project = new_project(host, tmp_path, {"Dockerfile": f"{AGED}# {run_id}\n"})
    first = build(project)
    assert [proof["equal"] for proof in first["proofs"]] == [True]
    second = build(project, "--no-cache")
    assert [(proof["equal"], proof["reason"]) for proof in second["proofs"]] == [(True, "")]
    assert second["images"][0]["made"] == "assembled"


SHARED = """\
FROM busybox:1.36-glibc AS builder
RUN --mount=type=secret,id=tok,required=true wc -c < /run/secrets/tok > /size
FROM busybox:1.36-glibc AS {name}
ENV NAME={name}
COPY --from=builder /size /size
"""


def test_what_variants_share_is_handed_what_the_wanted_ones_have(host: Host, tmp_path: Path, run_id: str) -> None:
    files = {f"Dockerfile.{name}": f"{SHARED.format(name=name)}# {run_id}\n" for name in ("a", "b")}
    tables = [f'[variants.{name}]\ndockerfile = "Dockerfile.{name}"\n' for name in ("a", "b")]
    toml = "".join((*tables, 'secrets = ["id=tok,env=TOKEN"]\n'))
    told = replace(host, environment={**host.environment, **TOKEN})
    project = new_project(told, tmp_path, {**files, "buildonce.toml": toml})
    outcome = build(project, "--variant", "b")
    assert engine_nodes(outcome, "compile") == [f"builder {AMD64}"]
    assert build(project)["engine_runs"] == []


def test_a_filter_that_names_no_stage_is_an_error(host: Host, tmp_path: Path) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": RANDOM})
    ran = project.buildonce("build", "--no-cache-filter", "bilder")
    assert ran.code == 2
    assert "--no-cache-filter names the stage `bilder`, which no Dockerfile has" in ran.err
    assert re.search(r"did you mean.*builder", ran.err)


def test_a_filter_leaves_a_base_alone_that_only_copies_from_the_stage_late(
    host: Host, tmp_path: Path, run_id: str
) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": f"{AGED}# {run_id}\n"})
    build(project)
    outcome = build(project, "--no-cache-filter", "builder")
    assert [run["activity"] for run in outcome["engine_runs"]] == ["compile"]


@pytest.fixture
def fresh(host: Host) -> Iterator[str]:
    """The address of an engine that has built nothing yet."""
    with dockerd(host, keeps_in_containerd=True) as address:
        yield address


def test_an_engines_own_cache_is_kept_for_each_stage_and_platform(
    host: Host, fresh: str, tmp_path: Path, run_id: str
) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": f"{RANDOM}# {run_id}\n"})
    cache = f"{host.registry}/engine-cache-{run_id}"
    stored = f"type=registry,ref={cache},mode=max"
    first = contents(project, build(project, "--cache-to", stored))
    with urllib.request.urlopen(f"http://{host.registry}/v2/engine-cache-{run_id}/tags/list") as answer:
        assert json.load(answer)["tags"] == ["buildcache-builder-linux-amd64"]
    other = replace(project, host=replace(host, environment={**host.environment, "DOCKER_HOST": fresh}))
    places = ("--output", "oci:second", "--cache", "oci:second-cache")
    outcome = build(other, "--cache-from", stored, *places, state="second-state")
    assert engine_nodes(outcome, "compile") == [f"builder {AMD64}"]
    second = contents(project, outcome, "second")
    assert second["made"] == first["made"], "the engine's cache was not taken"
    assert second["based"] != first["based"], "a base has no cache elsewhere"


def test_a_run_that_may_not_write_does_not_write_to_an_engines_cache(host: Host, tmp_path: Path, run_id: str) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": f"{RANDOM}# {run_id}\n"})
    read_only = ("--cache-read-only", "--cache", f"{host.registry}/cache-{run_id}")
    build(project, "--cache-to", f"type=registry,ref={host.registry}/unwritten-{run_id}", *read_only)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{host.registry}/v2/unwritten-{run_id}/tags/list")


ANNOTATIONS = (
    *("--annotation", "plain=1", "--annotation", "manifest:two=2", "--annotation", "index,manifest:both=3"),
    *("--annotation", "index:of.index=a=b", "--annotation", f"manifest[{AMD64}]:one=4"),
    *("--annotation", "manifest[linux/arm64]:other=5"),
)


def test_annotations_stand_where_buildx_puts_them(host: Host, tmp_path: Path, run_id: str) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": "FROM busybox:1.36-glibc AS app\nCOPY a /a\n", "a": run_id})
    outcome = project.build(*ANNOTATIONS)
    ours, out = project.folder / ".buildonce" / "images", tmp_path / "plain"
    argv = ["docker", "buildx", "build", "--quiet", "--provenance=false", f"--platform={','.join(PLATFORMS)}"]
    host.demand(*argv, *ANNOTATIONS, f"--output=type=oci,tar=false,dest={out}", project.folder)
    (described,) = json.loads((out / "index.json").read_bytes())["manifests"]
    index = json.loads(layout_blobs(ours)(tags_of(outcome)["app"]))
    plain = json.loads(layout_blobs(out)(described["digest"]))
    assert index["annotations"] == plain["annotations"] == {"both": "3", "of.index": "a=b"}
    assert [one["platform"] for one in index["manifests"]] == [one["platform"] for one in plain["manifests"]]
    for one, other in zip(index["manifests"], plain["manifests"], strict=True):
        manifest, theirs = (
            json.loads(layout_blobs(place)(found["digest"])) for place, found in ((ours, one), (out, other))
        )
        own = {"one": "4"} if one["platform"]["architecture"] == "amd64" else {"other": "5"}
        assert manifest["annotations"] == theirs["annotations"] == {"plain": "1", "two": "2", "both": "3", **own}
        assert manifest["mediaType"] == theirs["mediaType"] == one["mediaType"] == other["mediaType"]


def test_dockers_types_give_way_to_annotations(host: Host, tmp_path: Path, run_id: str) -> None:
    """An image on a base of Docker's types has them too, and they have no place for annotations."""
    project = new_project(host, tmp_path, {"Dockerfile": f"FROM debian:bookworm-slim\nLABEL run={run_id}\n"})
    (variant,) = [image["variant"] for image in build(project)["images"]]
    outcome = build(project, "--annotation", "a=b", "--variant", variant)
    manifest = json.loads(layout_blobs(project.folder / ".buildonce" / "images")(digests_of(outcome)[(variant, AMD64)]))
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert re.fullmatch(r"application/vnd\.oci\.image\.config\.v1\+json", manifest["config"]["mediaType"])
    assert all(layer["mediaType"].startswith("application/vnd.oci.image.layer") for layer in manifest["layers"])

"""Targets whose named contexts are the results of other targets, against `docker buildx bake` of the same file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.comparison import image_differences, render
from tests.e2e.harness import AMD64, Document, Host, Project, digests_of, engine_nodes, new_project
from tests.e2e.images import Image, layout_blobs, layout_digests, read_image

pytestmark = pytest.mark.host

BUSYBOX = "busybox:1.36-glibc"


def files(run_id: str) -> dict[str, str]:
    """Return Dockerfiles whose targets take from each other in every way."""
    return {
        "tool/Dockerfile": f"FROM {BUSYBOX} AS sources\nCOPY . /src/\n"
        f"FROM {BUSYBOX} AS builder\nARG FLAVOUR=plain\n"
        "RUN mkdir -p /out && echo $FLAVOUR > /out/tool\n"
        "RUN --mount=from=sources,source=/src,target=/src cat /src/main >> /out/tool && chmod 755 /out/tool\n",
        "tool/main": run_id,
        "base/Dockerfile": f"FROM {BUSYBOX}\nENV WHERE=/srv NAME=base\n"
        f"RUN echo {run_id} > /etc/base && adduser -D -u 77 me\n"
        'WORKDIR /srv\nUSER me\nLABEL of=base\nENTRYPOINT ["/bin/sh"]\nCMD ["-c", "true"]\n',
        "Dockerfile.on-base": "FROM base\nCOPY --from=tool /out/tool $WHERE/tool\nENV NAME=on-base\n",
        "Dockerfile.tail": "FROM base\nUSER root\nCOPY --from=tool --chown=me /out/tool bin/\n"
        "RUN echo $NAME > /etc/tail\n",
        "Dockerfile.top": "FROM below\nCOPY --from=tool /out/tool /usr/bin/again\nUSER 0\nRUN pwd > /etc/top\n",
        "Dockerfile.mounting": f"FROM {BUSYBOX}\nRUN --mount=from=tool,source=/out,target=/m cp /m/tool /tool\n",
        "Dockerfile.replaced": "FROM gcc:does-not-exist AS builder\nRUN make\n"
        f"FROM {BUSYBOX} AS app\nCOPY --from=builder /out/tool /bin/\nCOPY --from=0 /out/tool /bin/zero\n",
        "Dockerfile.built": f"FROM base AS made\nUSER 0\nRUN cat /etc/base > /made\nCOPY --from=tool /out/tool /tool\n"
        f"RUN cat /tool >> /made\nFROM {BUSYBOX}\nCOPY --from=made /made /made\n",
        "Dockerfile.through": f"FROM {BUSYBOX} AS middle\nCOPY --from=tool /out /out\n"
        f"FROM {BUSYBOX} AS made\nCOPY --from=middle /out/tool /t\nRUN wc -c /t > /size\n"
        f"FROM {BUSYBOX}\nCOPY --from=made /size /size\n",
        "Dockerfile.trigger": f"FROM {BUSYBOX}\nONBUILD RUN echo triggered > /etc/triggered\n",
        "Dockerfile.triggered": "FROM trigger\nRUN echo own > /etc/own\n",
        "Dockerfile.image": "FROM base\nUSER 0\nCOPY --from=registry.example/acme/tool:1 /out/tool /t\n",
        "docker-bake.json": json.dumps(bake()),
    }


def bake() -> Document:
    """Return the bake file: what each target is linked to."""
    links = {
        "on-base": {"base": "target:base", "tool": "target:tool"},
        "tail": {"base": "target:base", "tool": "target:tool"},
        "top": {"below": "target:tail", "tool": "target:flavoured"},
        "mounting": {"tool": "target:tool"},
        "replaced": {"builder": "target:tool"},
        "built": {"base": "target:base", "tool": "target:tool"},
        "through": {"tool": "target:tool"},
        "alias": {"base": "target:tail"},
        "triggered": {"trigger": "target:trigger"},
        "image": {"base": "target:base", "registry.example/acme/tool:1": "target:tool"},
    }
    targets = {name: {"dockerfile": f"Dockerfile.{name}", "contexts": found} for name, found in links.items()}
    targets["alias"] = {"dockerfile-inline": "FROM base AS it\n", "contexts": links["alias"]}
    others = {
        "base": {"context": "base"},
        "tool": {"context": "tool", "target": "builder"},
        "flavoured": {"inherits": ["tool"], "args": {"FLAVOUR": "rich"}},
        "trigger": {"dockerfile": "Dockerfile.trigger"},
    }
    return {"group": {"default": {"targets": [*links, "base"]}}, "target": {**targets, **others}}


def baked(host: Host, project: Project, target: str, folder: Path, platform: str = AMD64) -> Image:
    """Have bake build a target, as a layout, and return its image."""
    layout = folder / f"baked-{target}"
    argv = ["docker", "buildx", "bake", "--no-cache", "--provenance=false", "--allow=fs.write=*"]
    argv += [f"--set={target}.output=type=oci,tar=false,dest={layout}", f"--set=*.platform={platform}"]
    host.demand(*argv, target, folder=project.folder)
    (digest,) = layout_digests(layout).values()
    return read_image(layout_blobs(layout), digest)


def shipped(outcome: Document, folder: Path) -> Mapping[tuple[str, str], Image]:
    """Return the images of an outcome, from the layout that it was shipped to."""
    return {place: read_image(layout_blobs(folder), digest) for place, digest in digests_of(outcome).items()}


def test_linked_targets_are_what_bake_makes_of_them(host: Host, run_id: str, tmp_path: Path) -> None:
    project = new_project(host, tmp_path, files(run_id))
    places = ("--output", f"oci:{tmp_path / 'out'}", "--cache", f"oci:{tmp_path / 'cache'}")
    outcome = project.build("-f", "docker-bake.json", *places, platforms=(AMD64,))
    images = shipped(outcome, tmp_path / "out")
    assert {variant for variant, _ in images} == {*bake()["group"]["default"]["targets"]}
    for (variant, _), image in images.items():
        differences = image_differences(baked(host, project, variant, tmp_path), image)
        assert not differences, f"{variant}: {render(differences)}"
    # The tool is compiled once as it is and once with another argument; what is made from it is none of them.
    assert engine_nodes(outcome, "compile").count(f"builder {AMD64}") == 2
    assert engine_nodes(outcome, "build") == [f"mounting {AMD64}", f"triggered {AMD64}"]
    again = project.build("-f", "docker-bake.json", *places, platforms=(AMD64,))
    assert (again["engine_runs"], digests_of(again)) == ([], digests_of(outcome))


FEW = """\
FROM {busybox} AS builder
RUN --mount=type=bind,target=/src cat /src/main > /tool && chmod 755 /tool
FROM {busybox} AS base
RUN echo base > /etc/base
"""
COMPOSE = """\
services:
  tool: {build: {context: tool, target: builder, platforms: [linux/amd64]}}
  base: {build: {context: tool, target: base, platforms: [linux/amd64, linux/arm64]}}
  app:
    build:
      dockerfile_inline: |
        FROM base
        COPY --from=tool /tool /tool
      additional_contexts: {tool: "service:tool", base: "service:base"}
      platforms: [linux/amd64, linux/arm64]
"""


def few(host: Host, folder: Path, run_id: str) -> Project:
    """Return a project of three services: a tool for one platform, a base for two, and what takes from both."""
    texts = {"tool/Dockerfile": FEW.format(busybox=BUSYBOX), "tool/main": run_id}
    return new_project(host, folder, texts | {"compose.yaml": COMPOSE})


def test_each_platform_takes_the_linked_one_or_the_only_one_that_there_is(
    host: Host, run_id: str, tmp_path: Path
) -> None:
    project = few(host, tmp_path, run_id)
    places = ("--output", f"oci:{tmp_path / 'out'}", "--cache", host.repository(f"{run_id}/linked-cache"))
    outcome = project.buildonce("build", "--json", "-f", "compose.yaml", *places).document
    assert engine_nodes(outcome, "compile") == [f"builder {AMD64}"]
    for (variant, platform), image in shipped(outcome, tmp_path / "out").items():
        if variant == "app":
            folder = tmp_path / platform.replace("/", "-")
            folder.mkdir()
            argv = ["docker", "buildx", "bake", "--no-cache", "--provenance=false", "--allow=fs.write=*"]
            argv += [f"--set=app.output=type=oci,tar=false,dest={folder / 'app'}", f"--set=app.platform={platform}"]
            host.demand(*argv, "-f", "compose.yaml", "app", folder=project.folder)
            (digest,) = layout_digests(folder / "app").values()
            differences = image_differences(read_image(layout_blobs(folder / "app"), digest), image)
            assert not differences, f"{platform}: {render(differences)}"


def test_a_change_is_made_once_and_explained_and_what_was_shipped_can_be_rebuilt(
    host: Host, run_id: str, tmp_path: Path
) -> None:
    project = few(host, tmp_path, run_id)
    out = f"oci:{tmp_path / 'out'}"
    common = ("-f", "compose.yaml", "--platform", AMD64)
    places = ("--cache", f"oci:{tmp_path / 'cache'}", "--output", out)
    first = project.buildonce("plan", "--json", *common, *places, "--variant=app").document
    assert (first["engine_runs"], [one["variant"] for one in first["linked"]]) == (3, ["base"])
    outcome = project.buildonce("build", "--json", *common, *places).document
    assert sorted(run["activity"] for run in outcome["engine_runs"]) == ["base"] * 3 + ["compile"]
    project.write("tool/main", f"{run_id}, changed")
    plan = project.buildonce("plan", "--json", *common, *places, "--variant=app").document
    assert (plan["engine_runs"], plan["compiles"], plan["linked"]) == (1, 1, [])
    told = project.buildonce("explain", *common, *places, "--variant=app").out
    assert "file changed: `main` has other content  (tool/Dockerfile:2)" in told
    outcome = project.buildonce("build", "--json", *common, *places, "--variant=app").document
    assert [run["node"] for run in outcome["engine_runs"]] == [f"builder {AMD64}"]
    project.buildonce("build", "--json", *common, *places).document.keys()
    verified = project.buildonce("verify", "--rebuild", *common, out)
    assert verified.code == 0, verified.err + verified.out

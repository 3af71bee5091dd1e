"""What a Dockerfile asks of an engine, and what is said where the engine does not have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.runes import encode
from buildonce.engines.features import Feature, Need, find_needs
from buildonce.engines.protocol import BuildJob
from buildonce.engines.traits import OLDEST_BUILDAH, Version, buildah_traits, parse_version, require
from buildonce.errors import EngineUnavailable
from tests.engines.jobs import make_job


def needs_of(job: BuildJob) -> tuple[Need, ...]:
    return find_needs(job, parse_dockerfile(encode(job.dockerfile), job.path))


LINES = [
    ("COPY --link a /a", Feature.LINK, 6),
    ("ADD --link a /a", Feature.LINK, 5),
    ("COPY --parents a/b /", Feature.PARENTS, 6),
    ("COPY --exclude=*.c . /", Feature.EXCLUDE, 6),
    ("COPY --chmod=u+x a /a", Feature.SYMBOLIC_MODE, 6),
    ("ADD --checksum=sha256:" + "0" * 64 + " https://example.org/a /a", Feature.CHECKSUM, 5),
    ("COPY <<EOF /a\nb\nEOF", Feature.HEREDOC, 6),
    ("RUN <<EOF\ntrue\nEOF", Feature.HEREDOC, 5),
    ("RUN --network=none true", Feature.NETWORK, 5),
    ("RUN --security=insecure true", Feature.SECURITY, 5),
    ("RUN --mount=type=secret,id=a,env=A true", Feature.SECRET_ENV, 5),
    ("RUN --mount=from=image,target=/m true", Feature.BIND_MOUNT, 5),
    ("HEALTHCHECK --start-interval=1s CMD true", Feature.START_INTERVAL, 13),
]


@pytest.mark.parametrize(("line", "feature", "column"), LINES, ids=[line.split("\n")[0][:30] for line, *_ in LINES])
def test_a_need_has_its_place(tmp_path: Path, line: str, feature: Feature, column: int) -> None:
    (need,) = needs_of(make_job(tmp_path, dockerfile=f"FROM image\nENV A=b\n{line}\n"))
    assert (need.feature, need.place.line, need.place.column) == (feature, 3, column)


@pytest.mark.parametrize(
    "line",
    [
        "COPY --chmod=0755 a /a",
        "COPY --chmod=$MODE a /a",
        "RUN --mount=type=cache,target=/m true",
        "RUN --mount=type=secret,id=a true",
        "HEALTHCHECK --interval=1s CMD true",
        "RUN --network=default true",
    ],
)
def test_what_every_engine_has_is_no_need(tmp_path: Path, line: str) -> None:
    assert needs_of(make_job(tmp_path, dockerfile=f"FROM image\n{line}\n")) == ()


STAGES = """\
FROM image AS other
COPY --link a /a
FROM image AS builder
COPY --parents a /
FROM image AS final
COPY --from=builder /a /a
"""


@pytest.mark.parametrize(
    ("target", "contexts", "lines"),
    [("final", {}, [4]), ("other", {}, [2]), ("final", {"builder": "oci-layout:///core"}, []), ("", {}, [4])],
)
def test_only_stages_that_are_built_count(
    tmp_path: Path, target: str, contexts: dict[str, str], lines: list[int]
) -> None:
    needs = needs_of(make_job(tmp_path, dockerfile=STAGES, target=target, contexts=contexts))
    assert [need.place.line for need in needs] == lines


@pytest.mark.parametrize(
    ("version", "feature", "has"),
    [
        ((1, 28, 2), Feature.HEREDOC, False),
        ((1, 33, 0), Feature.HEREDOC, True),
        ((1, 39, 3), Feature.PARENTS, False),
        ((1, 43, 2), Feature.LINK, True),
        ((1, 43, 2), Feature.SECRET_ENV, False),
        ((2, 0), Feature.EXCLUDE, False),
    ],
)
def test_versions_of_buildah_differ(version: Version, feature: Feature, has: bool) -> None:
    assert (feature not in buildah_traits(version).lacks) is has


def test_every_use_of_what_is_missing_is_named(tmp_path: Path) -> None:
    job = make_job(tmp_path, dockerfile="FROM image\nCOPY --parents a/b /\nRUN <<EOF\ntrue\nEOF\nCOPY --parents c /\n")
    with pytest.raises(EngineUnavailable) as caught:
        require(buildah_traits((1, 28, 2)), job, needs_of(job))
    assert str(caught.value) == (
        "buildah 1.28.2 cannot compile builder linux/amd64: "
        "it does not have `COPY --parents` and heredocs as BuildKit has it\n"
        "  = note: images/Dockerfile:2:6: COPY --parents a/b /\n"
        "  = note: images/Dockerfile:3:5: RUN <<EOF\n"
        "  = note: images/Dockerfile:6:6: COPY --parents c /\n"
        "help: build it with Buildah 1.40 or newer, or BuildKit (--engine buildx)"
    )


def test_a_line_that_the_users_file_does_not_have_is_not_named(tmp_path: Path) -> None:
    job = make_job(tmp_path, dockerfile="FROM image AS b\nFROM scratch\nCOPY --from=b --parents /a /\n")
    with pytest.raises(EngineUnavailable) as caught:
        require(buildah_traits((1, 39)), replace(job, own_lines=1), needs_of(job))
    assert caught.value.notes == ("a copy in images/Dockerfile takes its files from this stage with `COPY --parents`",)


def test_no_newer_version_is_promised_for_what_none_has(tmp_path: Path) -> None:
    job = make_job(tmp_path, dockerfile="FROM image\nCOPY --exclude=a . /\n")
    with pytest.raises(EngineUnavailable) as caught:
        require(buildah_traits((1, 43)), job, needs_of(job))
    assert caught.value.help == "build it with BuildKit (--engine buildx)"


def test_versions_are_read_from_what_programs_say() -> None:
    assert parse_version("buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)") == (1, 28, 2)
    assert parse_version("1.43.2") > OLDEST_BUILDAH
    assert parse_version("none") == ()

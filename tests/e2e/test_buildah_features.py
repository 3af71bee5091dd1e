"""What Buildah is refused for is what it does not do, and what it is let to do it does as BuildKit does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.engines.buildah import Buildah
from buildonce.engines.buildx import Buildx
from buildonce.engines.features import Feature, find_needs
from buildonce.engines.finding import find_engine
from buildonce.engines.programs import buildx_command
from buildonce.engines.protocol import BuildJob, Engine
from buildonce.errors import EngineFailed
from tests.e2e.buildah import Installed, set_up, set_up_old, take_down
from tests.e2e.harness import Host
from tests.engines.jobs import make_job
from tests.engines.test_buildx import tree_of, without_times

pytestmark = pytest.mark.host

BUSYBOX = "busybox:1.36-glibc"
CONTEXTS = {BUSYBOX: f"docker-image://docker.io/library/{BUSYBOX}"}
RUN = f"FROM {BUSYBOX} AS run\n{{}}\nFROM scratch\nCOPY --from=run /out /out\n"
COPIED = "FROM scratch\n{}\n"
_EMPTY_OBJECT = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
"""Of `{}`, which is what a registry says of itself."""

FEATURES = {
    Feature.HEREDOC: RUN.format("RUN <<E\necho a > /out\nE"),
    Feature.LINK: RUN.format("COPY --link folder/one /out"),
    Feature.PARENTS: COPIED.format("COPY --parents folder/one /"),
    Feature.EXCLUDE: COPIED.format("COPY --exclude=one folder /to/"),
    Feature.SYMBOLIC_MODE: COPIED.format("COPY --chmod=u=rwx,go=r folder/one /one"),
    Feature.CHECKSUM: COPIED.format(f"ADD --checksum={_EMPTY_OBJECT} --chmod=0644 http://REGISTRY/v2/ /object"),
    Feature.NETWORK: RUN.format("RUN --network=none echo a > /out"),
    Feature.SECURITY: RUN.format("RUN --security=insecure echo a > /out"),
    Feature.DEVICE: RUN.format("RUN --device=example.org/class=one echo a > /out"),
    Feature.SECRET_ENV: RUN.format("RUN --mount=type=secret,id=buildonce,env=SAID echo a$SAID > /out"),
    Feature.START_INTERVAL: RUN.format("RUN echo a > /out\nHEALTHCHECK --start-interval=2s CMD true"),
}

EQUIVALENT = {Feature.PARENTS: COPIED.format("COPY folder/one /folder/one")}
"""What BuildKit is given instead where its built-in reader of Dockerfiles does not know the feature."""


@pytest.fixture(scope="module", params=[set_up_old, set_up], ids=["the oldest", "the current one"])
def installed(
    request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("buildah")
    yield request.param(host, folder)
    take_down(folder)


@pytest.fixture
async def buildah(installed: Installed) -> Buildah:
    engine = await find_engine(installed.environment, lambda _: None)
    assert isinstance(engine, Buildah)
    return engine


def let_loose(engine: Buildah, **traits: object) -> Buildah:
    """Return the engine without what keeps it from doing wrong."""
    return replace(engine, traits=msgspec.structs.replace(engine.traits, **traits))


async def files_of(engine: Engine, job: BuildJob) -> Mapping[str, object]:
    return without_times(tree_of((await engine.export(job)).archive))


def job_of(folder: Path, text: str) -> BuildJob:
    job = make_job(folder, dockerfile=text, contexts=CONTEXTS)
    (job.context / "folder").mkdir(exist_ok=True)
    for name in ("one", "two"):
        (job.context / "folder" / name).write_text(name)
    return job


@pytest.mark.parametrize("feature", FEATURES)
async def test_what_is_refused_cannot_be_done_and_what_is_not_is_done_as_buildkit_does_it(
    host: Host, buildah: Buildah, feature: Feature, tmp_path: Path
) -> None:
    text = FEATURES[feature].replace("REGISTRY", host.registry)
    job = job_of(tmp_path / "ours", text)
    assert feature in {need.feature for need in find_needs(job, parse_dockerfile(text.encode(), "Dockerfile"))}
    command = buildx_command(host.environment)
    assert command
    buildkit = Buildx(command=command, environment=host.environment, emit=lambda _: None)
    try:
        ours = await files_of(let_loose(buildah, lacks=frozenset()), job)
    except EngineFailed:
        assert feature in buildah.traits.lacks
    else:
        theirs = await files_of(buildkit, job_of(tmp_path / "theirs", EQUIVALENT.get(feature, text)))
        assert (ours == theirs) is (feature not in buildah.traits.lacks)


async def test_an_earlier_result_is_taken_although_what_is_mounted_has_changed_where_that_is_not_believed(
    buildah: Buildah, tmp_path: Path
) -> None:
    text = RUN.format("RUN --mount=source=folder,target=/m cat /m/one > /out")
    job = job_of(tmp_path, text)

    async def hear(engine: Engine, said: str) -> Mapping[str, object]:
        (job.context / "folder" / "one").write_text(said)
        output = tmp_path / f"{said} {engine is buildah}"
        output.mkdir()
        return await files_of(engine, msgspec.structs.replace(job, output=output))

    credulous = let_loose(buildah, distrusts=frozenset())
    first, second = [await hear(credulous, said) for said in ("first", "second")]
    assert (first == second) is (Feature.BIND_MOUNT in buildah.traits.distrusts)
    assert first != await hear(buildah, "second")


async def test_ignore_rules_of_a_named_context_mean_nothing_where_such_a_context_is_refused(
    buildah: Buildah, tmp_path: Path
) -> None:
    named = tmp_path / "named"
    named.mkdir()
    for name, text in {"kept": "", "ignored": "", ".dockerignore": "ignored\n"}.items():
        (named / name).write_text(text)
    job = make_job(tmp_path, dockerfile="FROM scratch\nCOPY --from=named . /\n", contexts={"named": str(named)})
    found = await files_of(let_loose(buildah, ignores_ignoring=False), job)
    assert "kept" in found
    assert ("ignored" in found) is buildah.traits.ignores_ignoring

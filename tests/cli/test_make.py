"""A plan carried out job by job: each does what the plan says, with the digests that the plan says, or fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.bases import push_bases
from tests.cli.conftest import Call, Ran
from tests.cli.plans import TOOL, compile_elsewhere, read_plan
from tests.fakes.registry import FakeRegistry

DOCKERFILE = """\
FROM busybox:1 AS builder
COPY source /
RUN make

FROM busybox:1 AS one
COPY --from=builder /out/tool /bin/tool

FROM busybox:1 AS two
COPY --from=builder /out/tool /bin/tool
COPY file /etc/file
ENV NAME=two
"""
TAGS = {"one", "two"}


class Chain:
    """A project, its plan, and the jobs of it: each with a memory of its own, as on a machine of its own."""

    def __init__(self, call: Call, registry: FakeRegistry, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.call = call
        self.registry = registry
        self.repository = f"{registry.host}/team/app"
        self.folder = folder
        self.file = folder / "plan.json"
        self.made = folder / "made"
        self._patch = patch
        self._machines = 0

    def plan(self, *arguments: str) -> dict[str, str]:
        """Make the plan; return GitHub's outputs."""
        ran = self.alone("plan", "--write", str(self.file), "--matrix=github", f"--push={self.repository}", *arguments)
        assert ran.code == 0, ran.err
        return dict(line.split("=", 1) for line in ran.out.splitlines())

    def make(self, job: str, *arguments: str) -> Ran:
        """Carry out a job."""
        return self.alone("make", str(self.file), job, f"--made={self.made}", *arguments)

    def make_all(self, kind: str) -> None:
        """Carry out all jobs of a kind, which end well."""
        for job in read_plan(self.file).jobs:
            if job.kind == kind:
                ran = self.make(job.name)
                assert ran.code == 0, ran.err

    def compile(self, content: bytes = TOOL) -> None:
        """Have the cores in the cache as compile jobs leave them."""
        compile_elsewhere(self.file, self.made, content)

    def until_ship(self, *arguments: str) -> None:
        """Do everything before the last job."""
        self.plan(*arguments)
        self.compile()
        self.make_all("bases")

    def alone(self, *arguments: str) -> Ran:
        """Run buildonce as on a machine that nothing ran on before."""
        self._machines += 1
        self._patch.setenv("BUILDONCE_STATE", str(self.folder / f"state-{self._machines}"))
        return self.call(*arguments)

    @property
    def tags(self) -> dict[str, str]:
        """The release's tags in the registry."""
        return dict(self.registry.repository("team/app").tags)

    def remove(self, prefix: str) -> None:
        """Remove the results from the cache whose tags begin with ``prefix``."""
        cache = self.registry.repository("team/app-cache")
        for tag in [tag for tag in cache.tags if tag.startswith(prefix)]:
            del cache.manifests[cache.tags.pop(tag)]

    def fetched(self) -> set[str]:
        """Return the digests of the blobs that were read since this was asked last."""
        found = {one.path.rpartition("/")[2] for one in self.registry.requests("GET", "/blobs/")}
        self.registry.log.clear()
        return found


@pytest.fixture
def chain(call: Call, registry: FakeRegistry, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """A project of two variants, of which nothing was made yet."""
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "source").write_text("1")
    (project / "file").write_text("1")
    return Chain(call, registry, tmp_path, monkeypatch)


def base_layers(registry: FakeRegistry) -> set[str]:
    """Return the digests of the layers of the images that bases are."""
    found = set()
    for media_type, content in registry.repository("library/busybox").manifests.values():
        if "index" not in media_type:
            found |= {layer["digest"] for layer in json.loads(content)["layers"]}
    return found


def test_the_jobs_of_a_plan_ship_the_release(chain: Chain) -> None:
    outputs = chain.plan("--platform=linux/amd64,linux/arm64")
    assert (outputs["compiles"], outputs["has-bases"], outputs["ships"]) == ("true", "true", "true")
    assert [cell["job"] for cell in json.loads(outputs["compile"])["include"]] == [
        "compile-builder-linux-amd64",
        "compile-builder-linux-arm64",
    ]
    runners = {cell["job"]: cell["runner"] for cell in json.loads(outputs["bases"])["include"]}
    assert runners == {"bases-linux-amd64-1": "ubuntu-24.04", "bases-linux-arm64-1": "ubuntu-24.04-arm"}
    chain.compile()
    chain.make_all("bases")
    assert not chain.tags
    ran = chain.make("ship", "--json")
    assert ran.code == 0, ran.err
    assert chain.tags.keys() == TAGS
    assert len(json.loads(ran.out)["images"]) == 4


def test_a_release_by_jobs_is_the_one_of_a_single_build(chain: Chain) -> None:
    chain.until_ship()
    assert chain.make("ship").code == 0
    by_jobs = chain.tags
    ran = chain.alone("build", f"--push={chain.repository}", "--json", "--no-compile")
    assert ran.code == 0, ran.err
    assert chain.tags == by_jobs
    assert {tag["outcome"] for tag in json.loads(ran.out)["tags"]} == {"unchanged"}


def test_the_job_that_ships_reads_no_layer_of_a_base(chain: Chain) -> None:
    chain.plan()
    chain.compile()
    chain.fetched()
    chain.make_all("bases")
    layers = base_layers(chain.registry)
    assert chain.fetched() & layers, "the bases job has to look into the image"
    assert chain.make("ship").code == 0
    assert not chain.fetched() & layers


def test_nothing_is_left_to_do_when_nothing_changed(chain: Chain) -> None:
    chain.until_ship()
    assert chain.make("ship").code == 0
    outputs = chain.plan()
    assert len(outputs.pop("plan")) == 12
    assert outputs == {
        "compile": '{"include":[]}',
        "bases": '{"include":[]}',
        "compiles": "false",
        "has-bases": "false",
        "ships": "false",
    }


def test_a_tag_that_somebody_moved_is_shipped_again(chain: Chain) -> None:
    chain.until_ship()
    assert chain.make("ship").code == 0
    tags = chain.registry.repository("team/app").tags
    tags["one"] = tags["two"]
    assert chain.plan()["ships"] == "true"


def test_after_a_compile_alone_no_bases_job_is_left(chain: Chain, project: Path) -> None:
    chain.until_ship()
    assert chain.make("ship").code == 0
    (project / "source").write_text("2")
    outputs = chain.plan()
    assert (outputs["compiles"], outputs["has-bases"], outputs["ships"]) == ("true", "false", "true")


def test_a_core_that_was_removed_between_two_jobs_moves_no_tag(chain: Chain) -> None:
    chain.until_ship()
    chain.remove("core-")
    ran = chain.make("ship")
    assert ran.code == 1
    assert "error[NO-COMPILE]: core `builder linux/amd64` is not in" in ran.err
    assert "the job `ship` may not compile it" in ran.err
    assert "the job `compile-builder-linux-amd64` had it in the cache: it was removed since" in ran.err
    assert "make the plan again" in ran.err
    assert not chain.tags


def test_a_core_that_the_plan_found_and_that_was_removed_is_said_to_be(chain: Chain) -> None:
    chain.until_ship()
    chain.plan()
    chain.made = chain.folder / "other"
    chain.remove("core-")
    ran = chain.make("ship")
    assert ran.code == 1
    assert "the plan found it in the cache" in ran.err
    assert not chain.tags


def test_a_core_that_no_job_left_a_word_of_is_not_looked_for_by_its_tag(chain: Chain) -> None:
    chain.until_ship()
    for left in chain.made.glob("compile-*"):
        left.unlink()
    ran = chain.make("ship")
    assert ran.code == 1
    assert "the job `compile-builder-linux-amd64` is to make it, and left nothing yet" in ran.err


def test_a_base_that_is_missing_moves_no_tag(chain: Chain) -> None:
    chain.until_ship()
    chain.remove("base-")
    ran = chain.make("ship")
    assert ran.code == 1
    assert "error[NOT-MADE]: base `docker.io/library/busybox:1 linux/amd64`" in ran.err
    assert "the job `bases-linux-amd64-1` had it in the cache: it was removed since" in ran.err
    assert not chain.tags


def test_a_bases_job_does_not_compile(chain: Chain) -> None:
    chain.plan()
    ran = chain.make("bases-linux-amd64-1")
    assert ran.code == 1
    assert "error[NO-COMPILE]: core `builder linux/amd64` is not in" in ran.err
    assert "the job `bases-linux-amd64-1` may not compile it" in ran.err


def test_a_compile_job_compiles(chain: Chain) -> None:
    chain.plan()
    ran = chain.make("compile-builder-linux-amd64")
    assert ran.code == 4, "there is no engine in this test"
    assert "compile builder linux/amd64 needs one" in ran.err


def test_a_checkout_of_something_else_is_refused_and_what_differs_is_named(chain: Chain, project: Path) -> None:
    chain.until_ship()
    (project / "source").write_text("other")
    (project / "file").write_text("other")
    for job in ("bases-linux-amd64-1", "ship"):
        ran = chain.make(job)
        assert ran.code == 1
        assert "error[PLAN-DIFFERS]" in ran.err
        assert "other keys for core builder linux/amd64, image two linux/amd64" in ran.err
        assert "file source: " in ran.err
        assert "file file: " in ran.err
        assert "(Dockerfile:2)" in ran.err
    assert not chain.tags


def test_an_instruction_after_the_base_counts_too(chain: Chain, project: Path) -> None:
    chain.until_ship()
    (project / "Dockerfile").write_text(DOCKERFILE.replace("NAME=two", "NAME=three"))
    ran = chain.make("ship")
    assert ran.code == 1
    assert "other keys for image two linux/amd64" in ran.err
    assert "ENV NAME=two" in ran.err


def test_a_base_image_that_moved_after_the_plan_changes_nothing(chain: Chain) -> None:
    chain.until_ship()
    push_bases(chain.registry, files={"etc/new": b"new"})
    chain.registry.log.clear()
    assert chain.make("ship").code == 0
    assert not chain.registry.requests("HEAD", "library/busybox/manifests/1$")
    assert chain.plan()["ships"] == "true", "a new plan sees it"
    assert read_plan(chain.file).jobs


def test_what_another_plan_left_is_refused(chain: Chain, project: Path) -> None:
    chain.until_ship()
    (project / "source").write_text("2")
    chain.plan()
    ran = chain.make("ship")
    assert ran.code == 2
    assert "is from a job of another plan" in ran.err


def test_an_unknown_job_is_answered_with_those_that_there_are(chain: Chain) -> None:
    chain.plan()
    ran = chain.make("$(id)")
    assert ran.code == 2
    assert "its jobs are compile-builder-linux-amd64, bases-linux-amd64-1, ship" in ran.err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"schema"', '"shcema"', "an unknown form"),
        ("buildonce.plan-file/1", "buildonce.plan-file/9", "buildonce.plan-file/9"),
        ('"version": "', '"version": "9', "run the same version in all jobs"),
        ("made for a test", "made for a text", "has another digest"),
        ('"name": "compile-builder-linux-amd64"', '"name": "x y"', "is no name of a job"),
        ("{", "[", "cannot be read"),
    ],
)
def test_a_plan_that_was_changed_is_refused(chain: Chain, old: str, new: str, says: str) -> None:
    chain.plan()
    text = chain.file.read_text()
    assert old in text
    chain.file.write_text(text.replace(old, new, 1))
    ran = chain.make("ship")
    if says == "an unknown form":
        assert ran.code == 1, "the form is the newest where none is named"
        return
    assert ran.code == 2
    assert says in ran.err


def test_a_plan_that_is_not_there_is_an_error_with_its_cure(chain: Chain) -> None:
    ran = chain.make("ship")
    assert ran.code == 2
    assert "buildonce plan --write FILE" in ran.err


def test_settings_are_the_plans_and_not_the_jobs(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.plan("--tag=v1-{variant}", "--compression=zstd")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    monkeypatch.setenv("BUILDONCE_TAGS", "wrong")
    monkeypatch.setenv("BUILDONCE_PLATFORMS", "linux/arm64")
    chain.compile()
    chain.make_all("bases")
    ran = chain.make("ship", "--json")
    assert ran.code == 0, ran.err
    assert chain.tags.keys() == {"v1-one", "v1-two"}
    assert {image["platform"] for image in json.loads(ran.out)["images"]} == {"linux/amd64"}


def test_a_secret_build_argument_is_not_in_the_plan(chain: Chain, project: Path) -> None:
    text = DOCKERFILE.replace("RUN make", "ARG API_TOKEN\nRUN make")
    (project / "Dockerfile").write_text(text)
    chain.plan("--build-arg=API_TOKEN=s3cr3t-value")
    assert b"s3cr3t-value" not in chain.file.read_bytes()
    ran = chain.make("bases-linux-amd64-1")
    assert ran.code == 2
    assert "set API_TOKEN in the environment of this job" in ran.err
    ran = chain.make("bases-linux-amd64-1", "--build-arg=API_TOKEN=another")
    assert ran.code == 1
    assert "error[PLAN-DIFFERS]" in ran.err
    assert "s3cr3t" not in ran.err
    ran = chain.make("bases-linux-amd64-1", "--build-arg=API_TOKEN=s3cr3t-value")
    assert "error[NO-COMPILE]" in ran.err


def test_a_release_can_be_staged_and_released_later(chain: Chain, tmp_path: Path) -> None:
    chain.until_ship()
    ran = chain.make("ship", "--stage")
    assert ran.code == 0, ran.err
    assert not chain.tags
    (tmp_path / "record").write_text(ran.out)
    assert chain.alone("release", str(tmp_path / "record")).code == 0
    assert chain.tags.keys() == TAGS


def test_a_plain_image_in_another_registry_is_brought_by_a_bases_job(
    chain: Chain, new_registry: object, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(new_registry)
    other: FakeRegistry = new_registry()
    chain.repository = f"{other.host}/team/app"
    chain.until_ship()
    chain.registry.log.clear()
    ran = chain.make("ship")
    assert ran.code == 0, ran.err
    assert not chain.registry.log, "nothing is asked of the base's registry"
    assert not {one.path.rpartition("/")[2] for one in other.requests("GET", "/blobs/")} & base_layers(chain.registry)
    chain.repository = f"{other.host}/team/elsewhere"
    outputs = chain.plan(f"--cache={other.host}/team/app-cache")
    assert outputs["has-bases"] == "true", "its layers are not there yet"
    assert any("its layers are not in" in node.reason for node in read_plan(chain.file).nodes)


def test_what_is_known_of_a_base_may_be_larger_than_a_record(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildonce.run.bases._RECORD_LIMIT", 10)
    chain.until_ship()
    cache = chain.registry.repository("team/app-cache")
    assert [tag for tag in cache.tags if tag.startswith("more-")]
    chain.fetched()
    assert chain.make("ship").code == 0
    assert not chain.fetched() & base_layers(chain.registry)
    assert chain.plan()["ships"] == "false", "a plan finds it there too"


def test_what_was_known_of_a_large_base_and_is_gone_is_gathered_again_by_a_job(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildonce.run.bases._RECORD_LIMIT", 10)
    chain.until_ship()
    assert chain.make("ship").code == 0
    chain.remove("more-")
    outputs = chain.plan("--tag=new-{variant}")
    assert outputs["has-bases"] == "true"
    assert any("its record does not say" in node.reason for node in read_plan(chain.file).nodes)


def test_what_is_copied_from_another_target_is_planned_the_same_in_every_job(chain: Chain, project: Path) -> None:
    (project / "Dockerfile").write_text(
        "FROM busybox:1 AS one\nRUN make\nFROM busybox:1 AS two\nCOPY --from=library /out/tool /bin/tool\n"
    )
    (project / "buildonce.toml").write_text(
        'default = "two"\n[variants.one]\n[variants.two]\ncontexts = { library = "target:one" }\n'
    )
    outputs = chain.plan("--variant=two")
    assert outputs["compiles"] == "true"
    chain.compile()
    chain.make_all("bases")
    ran = chain.make("ship")
    assert ran.code == 0, ran.err
    assert chain.tags

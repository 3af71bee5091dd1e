"""Which jobs a plan has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildonce.ci.jobs import MOST, make_jobs, safe_title
from buildonce.ci.matrix import github_outputs
from buildonce.ci.runners import emulated, runner_of
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.errors import UsageError
from buildonce.oci import Digest, Platform
from buildonce.plan.planning import make_graphs, make_plan
from buildonce.plan.sources import Declared, Request, SourceFile, TargetContext
from buildonce.report.wire import MatrixDocument, MatrixJob
from buildonce.run.deciding import Decision
from buildonce.run.inspection import inspect_plan
from buildonce.run.plan_file import Job, is_job_name
from buildonce.run.planned import Planned
from buildonce.run.project import Project
from buildonce.store.layout import LayoutStore
from tests.plan.projects import AMD64, ARM64, FakeContext, FakeImages, images_of, make

PLAN = Digest("sha256:" + "ab" * 32)


async def jobs_of(folder: Path, text: str, platforms: tuple[Platform, ...] = (AMD64, ARM64)) -> tuple[Job, ...]:
    """Return the jobs of a project of which nothing was made yet."""
    made = make(text, platforms=platforms)
    nowhere = Project(files=(), contexts=())
    planned = Planned(project=nowhere, request=made.request, graphs=made.graphs, images=made.images, plan=made.plan)
    inspection = await inspect_plan(planned.plan, LayoutStore(folder / "cache"))
    return make_jobs(
        Decision(planned=planned, inspection=inspection, unready={}, unfinished={}, seconds={}, results={})
    )


async def linked_jobs(folder: Path, text: str) -> tuple[Job, ...]:
    """Return the jobs of a variant of which the named context `it` is the result of another target."""
    files = tuple(
        SourceFile(dockerfile=parse_dockerfile(one.encode(), "Dockerfile"), context=FakeContext(), named_contexts=named)
        for one, named in ((text, {"it": TargetContext(name="other", file=1)}), ("FROM debian\nRUN make\n", {}))
    )
    request = Request(files=files, platforms=(AMD64,), build_platform=AMD64, declared=(Declared(name="app", file=0),))
    graphs = make_graphs(request)
    images = images_of(request, graphs, FakeImages())
    plan, nowhere = make_plan(request, graphs, images), Project(files=(), contexts=())
    planned = Planned(project=nowhere, request=request, graphs=graphs, images=images, plan=plan)
    inspection = await inspect_plan(plan, LayoutStore(folder / "cache"))
    return make_jobs(
        Decision(planned=planned, inspection=inspection, unready={}, unfinished={}, seconds={}, results={})
    )


async def test_what_is_copied_from_another_target_is_compiled_by_a_job(tmp_path: Path) -> None:
    jobs = await linked_jobs(tmp_path, "FROM debian\nCOPY --from=it /out /out\n")
    assert [(job.kind, len(job.cores)) for job in jobs] == [("compile", 1), ("bases", 0)]


async def test_what_is_built_on_another_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`app linux/amd64` is built on `other linux/amd64`"):
        await linked_jobs(tmp_path, "FROM it\nRUN more\n")


async def test_each_core_is_compiled_by_one_job_on_its_own_platform(tmp_path: Path) -> None:
    jobs = await jobs_of(
        tmp_path,
        "FROM gcc AS builder\nRUN make\nFROM debian AS a\nRUN mkdir /a\nCOPY --from=builder /x /x\n"
        "FROM debian AS b\nRUN mkdir /b\nCOPY --from=builder /x /x\n",
    )
    assert [(job.name, job.platform) for job in jobs] == [
        ("compile-builder-linux-amd64", "linux/amd64"),
        ("compile-builder-linux-arm64", "linux/arm64"),
        ("bases-linux-amd64-1", "linux/amd64"),
        ("bases-linux-arm64-1", "linux/arm64"),
    ]
    assert [len(job.bases) for job in jobs] == [0, 0, 2, 2]
    assert jobs[2].images == ("a linux/amd64", "b linux/amd64")


async def test_cores_that_need_each_other_are_compiled_together(tmp_path: Path) -> None:
    jobs = await jobs_of(
        tmp_path,
        "FROM gcc AS library\nRUN make\nFROM gcc AS builder\nCOPY --from=library /l /l\nRUN make\n"
        "FROM scratch AS a\nCOPY --from=builder /x /x\nCOPY --from=library /l /l\n",
        (AMD64,),
    )
    compiles = [job for job in jobs if job.kind == "compile"]
    assert [len(job.cores) for job in compiles] == [2]


async def test_short_images_of_an_engine_ride_along_with_their_compile(tmp_path: Path) -> None:
    jobs = await jobs_of(
        tmp_path,
        "FROM gcc AS builder\nRUN make\nFROM debian AS a\nCOPY --from=builder /x /x\nRUN /x --version\n",
        (AMD64,),
    )
    assert [(job.kind, job.images) for job in jobs] == [("compile", ("a linux/amd64",))]


async def test_names_that_mean_something_to_a_shell_do_not_get_into_matrices(tmp_path: Path) -> None:
    text = "FROM gcc AS builder\nRUN make\nFROM debian AS a\nCOPY --from=builder /x /x\n"
    jobs = await jobs_of(tmp_path, text.replace("builder", "b.u-i_l.d"))
    assert all(is_job_name(job.name) for job in jobs)
    assert jobs[0].name == "compile-b-u-i-l-d-linux-amd64"
    for hostile in ("$(id)", "`id`", "a\nb", 'a"b', "a'b", "${{ github.token }}", "::set-output name=x::y", "a;b|c&d"):
        title = safe_title(f"bases {hostile}")
        assert not set(title) & set("$`\n\"'{}|&;<>\\%=*?!#@~[]"), title


async def test_there_are_never_more_jobs_than_a_matrix_may_have(tmp_path: Path) -> None:
    stages = [f"FROM gcc AS c{n}\nRUN make {n}\n" for n in range(150)]
    images = [f"FROM debian AS v{n}\nRUN mkdir /{n}\nCOPY --from=c{n} /x /x\n" for n in range(150)]
    jobs = await jobs_of(tmp_path, "".join(stages + images))
    for kind in ("compile", "bases"):
        own = [job for job in jobs if job.kind == kind]
        assert 0 < len(own) <= MOST
        assert len({job.name for job in own}) == len(own)
    assert sum(len(job.cores) for job in jobs) == 300
    assert sum(len(job.bases) for job in jobs) == 300


def test_githubs_outputs_are_one_line_each() -> None:
    cell = MatrixJob(job="bases-1", title="bases", platform="linux/amd64", runner="ubuntu-24.04", seconds=1.0)
    lines = github_outputs(MatrixDocument(plan=PLAN, compile=(), bases=(cell,), ship=True)).splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    assert json.loads(outputs["compile"]) == {"include": []}
    shown = {"job": "bases-1", "title": "bases", "runner": "ubuntu-24.04", "emulate": ""}
    assert json.loads(outputs["bases"]) == {"include": [shown]}
    assert outputs["plan"] == "abababababab"
    assert (outputs["compiles"], outputs["has-bases"], outputs["ships"]) == ("false", "true", "true")


@pytest.mark.parametrize(
    ("platform", "runner"),
    [
        ("linux/amd64", "ubuntu-24.04"),
        ("linux/386", "ubuntu-24.04"),
        ("linux/arm64", "ubuntu-24.04-arm"),
        ("linux/arm/v7", "ubuntu-24.04-arm"),
        ("linux/riscv64", "ubuntu-24.04"),
    ],
)
def test_machines_are_native_where_there_are_such(platform: str, runner: str) -> None:
    assert runner_of(platform) == runner


def test_what_no_machine_runs_by_itself_is_known() -> None:
    assert emulated(["linux/amd64", "linux/arm/v7", "linux/s390x", "linux/riscv64"]) == ("linux/riscv64", "linux/s390x")

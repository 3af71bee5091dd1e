"""Wrong input: each has a message that says what, where and what next, and the right exit code; never a traceback."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from buildonce.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor, digest_of
from tests.fakes.registry import FakeRegistry

GOOD = "FROM scratch AS app\nCOPY file /file\n"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended, and what it said."""

    status: int
    said: str
    printed: str


def buildonce(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Run the command line in a process of its own, in ``folder``, with a memory and a home of its own."""
    command = [sys.executable, "-m", "buildonce", *arguments]
    own = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "BUILDONCE_STATE": str(folder / "state"),
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "BUILDONCE_MIRRORS": "",
    }
    done = subprocess.run(
        command, cwd=folder, env=own | dict(environment or {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return Ran(status=done.returncode, said=done.stderr, printed=done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a good Dockerfile and the file that it copies."""
    (tmp_path / "Dockerfile").write_text(GOOD)
    (tmp_path / "file").write_text("content")
    return tmp_path


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A wrong project or command line: the exit code, and what the message has to say."""

    says: Sequence[str]
    dockerfile: str | None = GOOD
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    status: int = 2


WRONG = {
    "no Dockerfile": Wrong(dockerfile=None, says=["there is no Dockerfile at `Dockerfile`", "name it with -f FILE"]),
    "no such -f": Wrong(arguments=["-f", "Dockerfil"], says=["there is no Dockerfile at `Dockerfil`", "Dockerfile"]),
    "a folder as -f": Wrong(arguments=["-f", "."], says=["`.` is a folder, not a Dockerfile", "--context ."]),
    "no such context": Wrong(arguments=["--context", "nowhere"], says=["there is no folder `nowhere`"]),
    "an empty Dockerfile": Wrong(dockerfile="", says=["Dockerfile"]),
    "an unknown instruction": Wrong(
        dockerfile="FROM scratch\nCOPPY file /\n", says=["Dockerfile:2:1", "COPPY file /", "^^^^^", "COPY"]
    ),
    "an unknown flag": Wrong(dockerfile="FROM scratch\nCOPY --form=x file /\n", says=["Dockerfile:2:6", "--from"]),
    "a copy without destination": Wrong(dockerfile="FROM scratch\nCOPY file\n", says=["Dockerfile:2"]),
    "stages in a circle": Wrong(
        dockerfile="FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n",
        says=["Dockerfile:2", "`b`"],
    ),
    "a missing file": Wrong(dockerfile="FROM scratch AS a\nCOPY fil /\n", says=["fil", "file"]),
    "an unknown variant": Wrong(
        arguments=["--variant", "ap"], says=["there is no variant `ap`", "the variants are: app", "--variant app"]
    ),
    "no platform": Wrong(arguments=["--platform", "arm64"], says=["`arm64` is not a platform", "os/architecture"]),
    "a build argument without a name": Wrong(arguments=["--build-arg", "=x"], says=["has no name"]),
    "an unknown option": Wrong(arguments=["--plattform", "x"], says=["No such option", "--platform"]),
    "a store that is a path": Wrong(arguments=["--cache", "./x"], says=["`./x` is not a repository", "oci:./x"]),
    "a cache of one's own that is only read": Wrong(
        arguments=["--cache-read-only"],
        says=["--cache-read-only: the cache is oci:", "this machine's own", "with --cache STORE"],
    ),
    "a repository with a scheme": Wrong(arguments=["--push", "https://x/y"], says=["without a scheme"]),
    "a repository in upper case": Wrong(arguments=["--push", "localhost:1/Acme"], says=["lower case"]),
    "push and output": Wrong(arguments=["--push", "x/y", "--output", "oci:z"], says=["exclude each other"]),
    "an output that is a repository": Wrong(arguments=["--output", "x/y"], says=["write it as oci:DIR"]),
    "no registry behind the port": Wrong(
        dockerfile="FROM 127.0.0.1:9/x/y AS app\nCOPY file /\n", says=["127.0.0.1:9"], status=4
    ),
}
WRONG_BUILDS = {
    "a tag that two variants share": Wrong(
        dockerfile=GOOD + "FROM scratch AS other\nCOPY file /\n",
        arguments=["--tag", "latest"],
        says=["would both be tagged `latest`", "{variant}"],
    ),
    "an unknown field in a tag": Wrong(arguments=["--tag", "{name}"], says=["there is no field `{name}`"]),
    "a version without a Git tag": Wrong(arguments=["--tag", "{variant}-{version}"], says=["git tag"]),
    "no number of engine jobs": Wrong(
        environment={"BUILDONCE_ENGINE_JOBS": "0"}, says=["BUILDONCE_ENGINE_JOBS is `0`", "1 or more"]
    ),
    "engine jobs in words": Wrong(environment={"BUILDONCE_ENGINE_JOBS": "two"}, says=["`two`", "1 or more"]),
    "a strange SOURCE_DATE_EPOCH": Wrong(environment={"SOURCE_DATE_EPOCH": "today"}, says=["`today`", "seconds"]),
    "an output folder that is something else": Wrong(
        arguments=["--output", "oci:."], says=["holds files but no OCI image layout"], status=1
    ),
    "no engine": Wrong(
        dockerfile="FROM scratch AS app\nRUN x\n",
        environment={"PATH": "/nowhere"},
        says=["no build engine was found", "install Docker"],
        status=4,
    ),
    "a registry that does not answer": Wrong(arguments=["--push", "127.0.0.1:9/x/y"], says=["127.0.0.1:9"], status=4),
}


def run_wrong(command: str, wrong: Wrong, project: Path) -> Ran:
    if wrong.dockerfile is None:
        (project / "Dockerfile").unlink()
    else:
        (project / "Dockerfile").write_text(wrong.dockerfile)
    return buildonce(project, command, *wrong.arguments, environment=wrong.environment)


@pytest.mark.parametrize("command", ["plan", "build"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(command: str, wrong: Wrong, project: Path) -> None:
    ran = run_wrong(command, wrong, project)
    assert ran.status == wrong.status, ran.said
    for part in wrong.says:
        assert part in ran.said
    assert ran.printed == ""


@pytest.mark.parametrize("wrong", WRONG_BUILDS.values(), ids=WRONG_BUILDS)
def test_what_is_wrong_with_a_build_is_said(wrong: Wrong, project: Path) -> None:
    ran = run_wrong("build", wrong, project)
    assert ran.status == wrong.status, ran.said
    for part in wrong.says:
        assert part in ran.said
    assert ran.printed == ""


class Served:
    """A fake registry in a thread of its own, for commands in other processes."""

    def __init__(self, **options: object) -> None:
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.registry: FakeRegistry

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        self._ready.wait()
        return self.registry

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        async with FakeRegistry(**self._options) as self.registry:  # type: ignore[arg-type]
            self._ready.set()
            await self._stop.wait()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with Served() as registry:
        yield registry


@pytest.fixture
def locked() -> Iterator[FakeRegistry]:
    with Served(auth="basic", users={"me": "right"}) as registry:
        yield registry


def test_an_undefined_stage_is_pointed_at(project: Path, registry: FakeRegistry) -> None:
    (project / "Dockerfile").write_text(
        "FROM scratch AS builder\nCOPY file /out/app\n\nFROM scratch AS app\nCOPY --from=bulder /out/app /bin/\n"
    )
    ran = buildonce(project, "plan", environment={"BUILDONCE_MIRRORS": f"docker.io=http://{registry.host}"})
    assert ran.status == 2
    for part in (
        "error[DF012]: stage `app` copies from `bulder`, which is not defined",
        "--> Dockerfile:5:13",
        "5 | COPY --from=bulder /out/app /bin/",
        "^^^^^^ no stage, image or named context has this name",
        "a stage named `builder` is defined at line 1; did you mean `--from=builder`?",
    ):
        assert part in ran.said


def test_an_image_without_the_platform_says_what_there_is(project: Path, registry: FakeRegistry) -> None:
    config = msgspec.json.encode({"architecture": "amd64", "os": "linux"})
    descriptor = Descriptor(media_type=OCI_CONFIG, digest=digest_of(config), size=len(config))
    registry.add_blob("base", config)
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor, "layers": []}
    registry.add_manifest("base", msgspec.json.encode(manifest), OCI_MANIFEST, tag="1")
    (project / "Dockerfile").write_text(f"FROM {registry.host}/base:2 AS app\nCOPY file /\n")
    ran = buildonce(project, "plan")
    assert ran.status == 2
    assert f"there is no image `{registry.host}/base:2`" in ran.said


def test_a_refused_login_says_how_to_log_in(project: Path, locked: FakeRegistry) -> None:
    ran = buildonce(project, "build", "--push", f"{locked.host}/x/y")
    assert ran.status == 4
    assert f"docker login {locked.host}" in ran.said


def test_a_wrong_password_is_refused_without_being_shown(project: Path, locked: FakeRegistry) -> None:
    login = {
        "BUILDONCE_AUTH_HOST": locked.host,
        "BUILDONCE_AUTH_USERNAME": "me",
        "BUILDONCE_AUTH_PASSWORD": "wrong-password",
    }
    ran = buildonce(project, "build", "--push", f"{locked.host}/x/y", environment=login)
    assert ran.status == 4
    assert "wrong-password" not in ran.said
    assert not locked.requests("PUT")


def test_the_right_password_ships(project: Path, locked: FakeRegistry) -> None:
    login = {
        "BUILDONCE_AUTH_HOST": locked.host,
        "BUILDONCE_AUTH_USERNAME": "me",
        "BUILDONCE_AUTH_PASSWORD": "right",
    }
    ran = buildonce(project, "build", "--push", f"{locked.host}/x/y", environment=login)
    assert ran.status == 0, ran.said
    assert "1 moved, 0 unchanged" in ran.printed


def test_a_missing_core_is_no_reason_to_compile(project: Path) -> None:
    (project / "Dockerfile").write_text(
        "FROM scratch AS builder\nCOPY file /out/app\nFROM scratch AS app\nCOPY --from=builder /out/app /bin/\n"
    )
    ran = buildonce(project, "build", "--no-compile")
    assert ran.status == 1
    for part in ("error[NO-COMPILE]", "core `builder linux/", "oci:.buildonce/cache", "it holds /out/app"):
        assert part in ran.said


def test_bytes_that_are_no_text_are_refused(project: Path) -> None:
    (project / "Dockerfile").write_bytes(b"FROM scratch AS app\nRUN echo caf\xe9\n")
    ran = buildonce(project, "plan")
    assert ran.status == 2
    for part in ("error[DF038]", "Dockerfile:2:10", "RUN echo caf", "save the Dockerfile in UTF-8"):
        assert part in ran.said


def test_a_warning_names_an_argument_that_nothing_takes(project: Path) -> None:
    ran = buildonce(project, "plan", "--build-arg", "NOBODY=1")
    assert ran.status == 0
    assert "warning: no Dockerfile takes the build argument `NOBODY`" in ran.said


def test_a_misspelt_command_is_told_the_next_one(project: Path) -> None:
    ran = buildonce(project, "plna")
    assert (ran.status, ran.printed) == (2, "")
    assert "Did you mean 'plan'?" in ran.said

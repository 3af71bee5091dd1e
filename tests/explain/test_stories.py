"""Staged stories: two states of a project on disk, and the cause that its explanation has to name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.explain.causes import Cause, Explanation, explain_difference
from buildonce.oci import Platform
from buildonce.plan.accounts import Account
from buildonce.plan.images import ExternalImage
from buildonce.plan.sources import Request
from buildonce.run.explaining import Against, accounts_of
from buildonce.run.git import tracked_files
from buildonce.run.planned import plan_project
from buildonce.run.project import FileOrder, load_files
from buildonce.run.state import State
from buildonce.store.protocol import Store
from tests.plan.projects import AMD64, ARM64, FakeImages

DOCKERFILE = """\
ARG BUILDER_IMAGE=rust:1-bookworm
FROM ${BUILDER_IMAGE} AS builder
ARG OPTIMIZE=2
ARG REVISION
ENV LANG=C
WORKDIR /src
RUN apt-get install -y protobuf-compiler
COPY Cargo.toml ./
COPY src ./src
RUN cargo build --release

FROM --platform=$BUILDPLATFORM node:22 AS assets
COPY web /web
COPY --from=tools:1 /bin/pack /bin/pack
RUN pack /web

FROM debian:bookworm-slim AS app
RUN useradd agent
COPY --from=builder /src/target/release/app /usr/local/bin/app
COPY --from=assets /web/out /www
RUN mkdir -p /home/agent/.app
"""
FILES: Mapping[str, str] = {
    "Cargo.toml": "[package]\n",
    "src/main.rs": 'fn main() {\n    println!("one");\n}\n',
    "src/old.rs": "// old\n",
    "web/index.html": "<p>\n",
    "README.md": "read me\n",
}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happens between two builds, and what an explanation of ``node`` says first."""

    cause: Cause
    says: str
    node: str = "core builder"
    happens: Callable[[Path], object] = lambda _: None
    edit: tuple[str, str] = ("", "")
    before_args: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    build_platform: Platform = AMD64
    reruns: tuple[str, ...] | None = None
    findings: int = 1


def write(path: str, text: str, *, add: bool = False) -> Callable[[Path], object]:
    def happens(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        if add:
            git(root, "add", path)

    return happens


def link(path: str, *targets: str) -> Callable[[Path], object]:
    def happens(root: Path) -> None:
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(targets[0])

    return happens


APT, CARGO = "RUN apt-get install -y protobuf-compiler", "RUN cargo build --release"
STORIES = {
    "the builder's image is replaced by the builder that was pushed": Story(
        cause=Cause.BASE_ARGUMENT,
        says="`BUILDER_IMAGE` replaces the image that `builder` starts from "
        "(BUILDER_IMAGE=rust:1-bookworm -> ghcr.io/acme/builder:v3-amd64)",
        args={"BUILDER_IMAGE": "ghcr.io/acme/builder:v3-amd64"},
        reruns=(APT, CARGO),
    ),
    "the base's tag moved": Story(
        cause=Cause.BASE_MOVED,
        says="`rust:1-bookworm` is another image now",
        versions={"rust:1-bookworm": "2"},
        reruns=(APT, CARGO),
    ),
    "the base was changed in the Dockerfile": Story(
        cause=Cause.BASE_EDITED,
        says="rust:1-bookworm -> rust:1.90-bookworm",
        edit=("rust:1-bookworm", "rust:1.90-bookworm"),
    ),
    "another image whose files are copied moved": Story(
        node="core assets",
        cause=Cause.BASE_MOVED,
        says="`tools:1` is another image now",
        versions={"tools:1": "2"},
        reruns=("RUN pack /web",),
    ),
    "a source file was edited": Story(
        cause=Cause.FILE,
        says="`src/main.rs` has other content",
        happens=write("src/main.rs", 'fn main() {\n    println!("two");\n}\n'),
        reruns=(CARGO,),
    ),
    "a source file was added": Story(
        cause=Cause.NEW_FILE, says="`src/new.rs` is new", happens=write("src/new.rs", "// new\n", add=True)
    ),
    "a file was generated into the context": Story(
        cause=Cause.UNTRACKED,
        says="`src/built.rs` is in the build context and Git does not know it",
        happens=write("src/built.rs", "// at 12:00\n"),
    ),
    "a generated file has other content each time": Story(
        cause=Cause.UNTRACKED,
        says="`src/stamp` has other content, and Git does not know it",
        happens=write("src/stamp", "12:01\n"),
    ),
    "a file was removed": Story(
        cause=Cause.REMOVED_FILE,
        says="`src/old.rs` is no longer in the build context",
        happens=lambda root: (root / "src/old.rs").unlink(),
    ),
    "a file became executable": Story(
        cause=Cause.FILE, says="has another mode: 644 -> 755", happens=lambda root: (root / "src/main.rs").chmod(0o755)
    ),
    "a link leads elsewhere": Story(
        cause=Cause.UNTRACKED, says="`src/link` leads elsewhere: main.rs -> old.rs", happens=link("src/link", "old.rs")
    ),
    "a file became a link": Story(
        cause=Cause.FILE, says="`src/old.rs` is a symlink now, it was a file", happens=link("src/old.rs", "main.rs")
    ),
    "an argument holds the commit": Story(
        cause=Cause.RESTLESS_ARGUMENT,
        says="`REVISION`: 4f2a9c1 -> 98be07d; it looks like a commit id",
        before_args={"REVISION": "4f2a9c1"},
        args={"REVISION": "98be07d"},
        reruns=(APT, CARGO),
    ),
    "an argument holds the date": Story(
        cause=Cause.RESTLESS_ARGUMENT,
        says="it looks like a date",
        before_args={"REVISION": "2026-11-23T10:00:00Z"},
        args={"REVISION": "2026-11-24T09:30:00Z"},
    ),
    "an argument holds what git describe prints": Story(
        cause=Cause.RESTLESS_ARGUMENT,
        says="it looks like what `git describe` prints",
        before_args={"REVISION": "v1.2-3-g4f2a9c1"},
        args={"REVISION": "v1.2-4-g98be07d"},
    ),
    "an argument holds the number of the run": Story(
        cause=Cause.RESTLESS_ARGUMENT,
        says="it looks like a number that counts up",
        before_args={"REVISION": "117"},
        args={"REVISION": "118"},
    ),
    "an argument has another value": Story(
        cause=Cause.ARGUMENT, says="`OPTIMIZE`: 2 -> 3", args={"OPTIMIZE": "3"}, reruns=(APT, CARGO)
    ),
    "an argument is given for the first time": Story(
        cause=Cause.ARGUMENT, says="`REVISION`: (unset) -> nightly", args={"REVISION": "nightly"}
    ),
    "an argument has another default": Story(
        cause=Cause.ARGUMENT, says="`OPTIMIZE`: 2 -> s", edit=("OPTIMIZE=2", "OPTIMIZE=s")
    ),
    "a variable was changed": Story(cause=Cause.ENVIRONMENT, says="LANG: C -> de", edit=("LANG=C", "LANG=de")),
    "a line above the compile was edited": Story(
        cause=Cause.EDIT_ABOVE,
        says="what stands below it runs again, first `RUN cargo build --release` (line 10)",
        edit=("protobuf-compiler", "protobuf-compiler cmake"),
    ),
    "a line was put above the compile": Story(
        cause=Cause.EDIT_ABOVE,
        says="new: `RUN rustup target add wasm`",
        edit=("COPY Cargo.toml", "RUN rustup target add wasm\nCOPY Cargo.toml"),
    ),
    "a line above the compile is gone": Story(
        cause=Cause.EDIT_ABOVE,
        says="gone: `RUN apt-get install -y protobuf-compiler`",
        edit=("RUN apt-get install -y protobuf-compiler\n", ""),
        reruns=(CARGO,),
    ),
    "the compile was edited": Story(
        cause=Cause.EDIT,
        says="`RUN cargo build --release` -> `RUN cargo build --release --locked`",
        edit=("build --release", "build --release --locked"),
        reruns=("RUN cargo build --release --locked",),
    ),
    "another file is copied from the stage": Story(
        cause=Cause.PATHS,
        says="`/src/target/release/app2` is copied now",
        edit=("/src/target/release/app /", "/src/target/release/app2 /"),
        findings=2,
        reruns=(),
    ),
    "a variant's own line was edited": Story(
        node="base app",
        cause=Cause.EDIT,
        says="`RUN mkdir -p /home/agent/.app` -> `RUN mkdir -p /home/agent/.config`",
        edit=("/home/agent/.app", "/home/agent/.config"),
    ),
    "the build platform is another one": Story(
        node="core assets",
        cause=Cause.PLATFORM,
        says="linux/amd64 -> linux/arm64",
        build_platform=ARM64,
    ),
}


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(("git", "-C", str(root), *identity, *arguments), check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for path, text in {**FILES, "Dockerfile": DOCKERFILE}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=one")
    (root / "src/stamp").write_text("12:00\n")
    (root / "src/link").symlink_to("main.rs")
    return root


async def accounts(
    root: Path,
    *,
    args: Mapping[str, str],
    versions: Mapping[str, str] | None = None,
    build_platform: Platform = AMD64,
) -> Against:
    """Return what the keys of the project cover, with images that exist in the test alone."""
    images = FakeImages(versions or {})

    async def resolve(
        wanted: Iterable[tuple[str, Platform]], **_: object
    ) -> Mapping[tuple[str, Platform], ExternalImage]:
        return {pair: images.image(*pair) for pair in wanted}

    project = load_files([FileOrder(dockerfile=root / "Dockerfile", context=root)])
    files = tuple(replace(file, build_args=args) for file in project.files)
    request = Request(files=files, platforms=(AMD64,), build_platform=build_platform)

    def no_network(_: object) -> Store:
        raise AssertionError("no registry is asked")

    planned = await plan_project(
        project, request, open_repository=no_network, state=State(root.parent / "state"), resolve=resolve
    )
    return Against(name="before", accounts=accounts_of(planned))


def named(found: Against, node: str) -> Account:
    kind, _, name = node.partition(" ")
    (account,) = (one for one in found.accounts if (one.kind, one.name) == (kind, name))
    return account


async def tell(story: Story, root: Path) -> Explanation:
    """Let the story happen, and explain its node."""
    before = await accounts(root, args=story.before_args)
    if story.edit[0]:
        path = root / "Dockerfile"
        text = path.read_text()
        assert story.edit[0] in text
        path.write_text(text.replace(*story.edit, 1))
    story.happens(root)
    after = await accounts(root, args=story.args, versions=story.versions, build_platform=story.build_platform)
    node = named(after, story.node)
    old = before.find(node)
    assert old is not None
    assert old.key != node.key
    return explain_difference(old, node, tracked=tracked_files(root))


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_the_right_cause_is_named_first(story: Story, project: Path) -> None:
    explanation = await tell(story, project)
    first = explanation.findings[0]
    assert first.cause is story.cause
    assert story.says in first.says
    assert len(explanation.findings) == story.findings
    if story.reruns is not None:
        assert tuple(step.text for step in explanation.reruns) == story.reruns


async def test_nothing_is_found_where_nothing_changed(project: Path) -> None:
    before = await accounts(project, args={})
    (project / "README.md").write_text("other\n")
    after = await accounts(project, args={"UNUSED": "1"})
    for account in after.accounts:
        old = before.find(account)
        assert old is not None
        assert old.key == account.key
        assert explain_difference(old, account).findings == ()


async def test_every_difference_is_found_at_once(project: Path) -> None:
    before = await accounts(project, args={})
    (project / "src/main.rs").write_text("other\n")
    text = (project / "Dockerfile").read_text()
    (project / "Dockerfile").write_text(text.replace("LANG=C", "LANG=de").replace("cargo build", "cargo build -v"))
    after = await accounts(project, args={"OPTIMIZE": "3"}, versions={"rust:1-bookworm": "2"})
    found = explain_difference(named(before, "core builder"), named(after, "core builder")).findings
    assert {one.cause for one in found} == {
        Cause.BASE_MOVED,
        Cause.EDIT,
        Cause.ARGUMENT,
        Cause.ENVIRONMENT,
        Cause.FILE,
    }
    assert found[0].cause is Cause.BASE_MOVED


async def test_another_format_is_named_before_all_else(project: Path) -> None:
    account = named(await accounts(project, args={}), "core builder")
    older = replace(account, format=account.format - 1, key="0" * 64)
    assert explain_difference(older, account).findings[0].cause is Cause.FORMAT


async def test_what_an_image_needs_of_its_cores_is_followed(project: Path) -> None:
    """A variant that an engine builds depends on the stages of its cores."""
    text = (project / "Dockerfile").read_text()
    (project / "Dockerfile").write_text(text + "RUN app --version\n")
    before = await accounts(project, args={})
    (project / "src/main.rs").write_text("other\n")
    after = await accounts(project, args={})
    found = explain_difference(named(before, "image app"), named(after, "image app"))
    assert [(one.cause, one.difference.subject) for one in found.findings] == [(Cause.FILE, "src/main.rs")]

"""A buildonce.toml that is written from a declaration."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from buildonce.project.build_settings import lay_over, settings_of
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.toml import read_toml
from buildonce.project.writing import gather_common, render_toml

_PATHS = st.sampled_from(["Dockerfile", ".", "a/Dockerfile", "sub", "ü \"'\\\x7f\n#x"])
_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
_ARGS = st.dictionaries(st.sampled_from(["A", "B", "x.y", "Ä"]), _TEXTS, max_size=3)
_CONTEXTS = st.dictionaries(st.sampled_from(["data", "r.example/base:1"]), _PATHS, max_size=2)
_PLATFORMS = st.sampled_from([(), ("linux/amd64",), ("linux/amd64", "linux/arm64")])
_TAGS = st.sampled_from([(), ("{variant}",), ("{version}-{variant}", "{variant}")])


_BUILD = st.builds(
    settings_of,
    st.fixed_dictionaries(
        {},
        optional={
            "labels": st.dictionaries(st.sampled_from(["a", "b.c"]), _TEXTS, min_size=1, max_size=2),
            "network": st.sampled_from(["host", "none"]),
            "ulimits": st.just({"nofile": "1:2"}),
            "secrets": st.sampled_from([("id=a,src=b",), ("id=a,src=b", "id=c,env=D")]),
            "no-cache": st.just(True),
            "cache-to": st.just(("type=gha",)),
        },
    ),
)


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    """Draw a declaration that a buildonce.toml can say: variants have what the project has."""
    args, contexts, build = draw(_ARGS), draw(_CONTEXTS), draw(_BUILD)
    names = draw(st.lists(st.sampled_from(["claude", "codex", "a.b", "x_1"]), unique=True, max_size=3))
    variants = tuple(
        VariantDeclaration(
            name=name,
            dockerfile=draw(_PATHS),
            context=draw(_PATHS),
            target=draw(st.sampled_from([None, name, "runtime", "0"])),
            args={**args, **draw(_ARGS)},
            contexts={**contexts, **draw(_CONTEXTS)},
            platforms=draw(_PLATFORMS),
            tags=draw(_TAGS),
            push=draw(st.sampled_from([None, f"r.example/{index}"])),
            checks_fit=draw(st.booleans()),
            build=lay_over(build, draw(_BUILD)),
        )
        for index, name in enumerate(names)
    )
    given = st.dictionaries(
        st.sampled_from(["builder", "a.b"]),
        st.sampled_from([{"/": "dist/{os}-{arch}"}, {"/out/app": "dist/app", "/ü x": "d"}, {"/": "a", "/b": "c"}]),
    )
    place: dict[str, Any] = draw(st.sampled_from([{}, {"push": "r.example/{variant}"}, {"output": "oci:out"}]))
    return Declaration(
        variants=variants,
        dockerfiles=(draw(_PATHS),),
        context=draw(_PATHS),
        args=args,
        build=build,
        contexts=contexts,
        platforms=draw(_PLATFORMS),
        build_platform=draw(st.sampled_from([None, "linux/arm64"])),
        cache=draw(st.sampled_from([None, "oci:cache", "r.example/cache"])),
        tags=draw(_TAGS),
        default=draw(st.sampled_from([None, *names])),
        latest=draw(st.sampled_from([None, "never", "release", "branch main"])),
        given=draw(given),
        **place,
    )


@settings(deadline=None)
@given(declarations())
def test_what_is_written_reads_back_as_it_was(declaration: Declaration) -> None:
    assert read_toml(render_toml(declaration)).declaration == declaration


@settings(deadline=None)
@given(declarations())
def test_what_is_common_is_said_once_and_means_the_same(declaration: Declaration) -> None:
    gathered = gather_common(replace(declaration, args={}, contexts={}))
    assert read_toml(render_toml(gathered)).declaration == gathered

    def meant(one: Declaration) -> list[VariantDeclaration]:
        return [
            replace(
                variant,
                platforms=variant.platforms or one.platforms,
                tags=variant.tags or one.tags,
                push=variant.push or one.push,
            )
            for variant in one.variants
        ]

    assert meant(gathered) == meant(declaration)


def test_a_family_is_written_in_few_words() -> None:
    common = {"VERSION": "1.4", "MODE": "release"}
    declaration = Declaration(
        variants=(
            VariantDeclaration(name="claude", target="claude", args={**common, "AGENT": "claude"}),
            VariantDeclaration(name="codex", target="agent", args={**common, "AGENT": "codex"}),
            VariantDeclaration(name="grok", dockerfile="grok/Dockerfile", args=common, checks_fit=False),
        ),
        push="registry.example/acme/app",
    )
    assert (
        render_toml(gather_common(declaration))
        == """\
# What buildonce builds, and where it goes. `buildonce config --show-origin` says what counts.

# platforms = ["linux/amd64", "linux/arm64"]
push = "registry.example/acme/app"
# tags = ["{version}-{variant}"]
# default = "claude"  # also gets the tags without its name
# latest = "release"  # or "branch main": when `latest` is moved

[args]
VERSION = "1.4"
MODE = "release"

[variants.claude]
args.AGENT = "claude"

[variants.codex]
target = "agent"
args.AGENT = "codex"

[variants.grok]
dockerfile = "grok/Dockerfile"
fit-check = false
"""
    )


def test_nothing_declared_is_a_file_of_comments() -> None:
    assert all(line.startswith("#") for line in render_toml(Declaration()).split("\n") if line)

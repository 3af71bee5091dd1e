"""buildonce.toml as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.errors import ConfigurationError
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.toml import read_toml
from buildonce.project.toml_file import load_declaration

FULL = """\
dockerfile = "images/Dockerfile"
context = "src"
platforms = ["linux/amd64", "linux/arm64"]
build-platform = "linux/amd64"
push = "registry.example/acme/app"
cache = "registry.example/acme/app-cache"
tags = ["{version}-{variant}"]
default = "claude"
latest = "branch main"

[args]
VERSION = "1.0"
AGENT = ""

[contexts]
data = "../data"

[given]
builder = "dist/{os}-{arch}"
tools."/bin/tool" = "tool-{arch}"

[variants.claude]
args = { AGENT = "claude" }

[variants.codex]
dockerfile = "Dockerfile.codex"
context = "codex"
contexts = { data = "docker-image://debian:12", more = "more" }
platforms = ["linux/amd64"]
tags = ["{variant}"]
push = "registry.example/acme/codex"
fit-check = false
"""


def test_everything_is_read() -> None:
    assert read_toml(FULL).declaration == Declaration(
        dockerfiles=("images/Dockerfile",),
        context="src",
        args={"VERSION": "1.0", "AGENT": ""},
        contexts={"data": "../data"},
        platforms=("linux/amd64", "linux/arm64"),
        build_platform="linux/amd64",
        push="registry.example/acme/app",
        cache="registry.example/acme/app-cache",
        tags=("{version}-{variant}",),
        default="claude",
        latest="branch main",
        given={"builder": {"/": "dist/{os}-{arch}"}, "tools": {"/bin/tool": "tool-{arch}"}},
        variants=(
            VariantDeclaration(
                name="claude",
                dockerfile="images/Dockerfile",
                context="src",
                target="claude",
                args={"VERSION": "1.0", "AGENT": "claude"},
                contexts={"data": "../data"},
            ),
            VariantDeclaration(
                name="codex",
                dockerfile="Dockerfile.codex",
                context="codex",
                args={"VERSION": "1.0", "AGENT": ""},
                contexts={"data": "docker-image://debian:12", "more": "more"},
                platforms=("linux/amd64",),
                tags=("{variant}",),
                push="registry.example/acme/codex",
                checks_fit=False,
            ),
        ),
    )


def test_every_value_knows_its_line() -> None:
    origins = read_toml(FULL, "some/buildonce.toml").origins
    assert origins["given", "tools"] == "some/buildonce.toml:20"
    assert origins["push",] == "some/buildonce.toml:5"
    assert origins["variants", "claude"] == "some/buildonce.toml:22"
    assert origins["variants", "claude", "target"] == "some/buildonce.toml:22", "from its name"
    assert origins["variants", "claude", "dockerfile"] == "some/buildonce.toml:1", "from the project"
    assert origins["variants", "claude", "args", "VERSION"] == "some/buildonce.toml:12"
    assert origins["variants", "claude", "args", "AGENT"] == "some/buildonce.toml:23"
    assert origins["variants", "codex", "contexts", "data"] == "some/buildonce.toml:28"
    assert ("variants", "codex", "target") not in origins, "the last stage is a default"
    assert ("variants", "claude", "platforms") not in origins, "it has none of its own"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("[variants.claude]\n", "claude"),
        ("[variants.claude]\ndockerfile = 'Dockerfile'\n", None),
        ("[variants.claude]\ntarget = 'x'\n", "x"),
        ("[variants.claude]\ndockerfile = 'Dockerfile'\ntarget = 'x'\n", "x"),
        ("target = 'agent'\n[variants.claude]\n", "agent"),
        ("target = 'agent'\n[variants.claude]\ndockerfile = 'Dockerfile'\n", "agent"),
        ("target = 'agent'\n[variants.claude]\ntarget = 'x'\n", "x"),
        ("dockerfile = 'Dockerfile.all'\n[variants.claude]\n", "claude"),
    ],
)
def test_the_target_is_the_stage_of_the_name_unless_the_variant_has_a_dockerfile(text: str, target: str) -> None:
    assert read_toml(text).declaration.variants[0].target == target


@pytest.mark.parametrize("text", ["", "# nothing\n", 'push = "acme/app"\n'])
def test_a_file_may_declare_no_variant(text: str) -> None:
    assert read_toml(text).declaration.variants == ()


def test_the_same_can_be_written_in_other_ways() -> None:
    one = read_toml('[args]\nA = "1"\n[variants.x]\ntags = ["{sha}"]\nargs.B = "2"\n')
    two = read_toml('args.A = \'1\'\nvariants.x = { tags = [ """{sha}""" ], args = { "B" = \'2\' } }\r\n')
    assert one.declaration == two.declaration


def test_variants_in_repositories_of_their_own_may_have_the_same_tags() -> None:
    two = "tags = ['{version}']\n[variants.a]\n[variants.b]\n"
    assert read_toml(f"push = 'r.example/{{variant}}'\n{two}").declaration.variants
    assert read_toml(f"push = 'r.example/app'\n{two}push = 'r.example/b'\n").declaration.variants
    assert read_toml(two).declaration.variants, "where they go is said elsewhere"


def test_one_repository_may_have_images_and_cache() -> None:
    assert read_toml("push = 'r.example/app'\ncache = 'r.example/app'\n").declaration.cache == "r.example/app"


def test_a_folder_without_the_file_declares_nothing(tmp_path: Path) -> None:
    declared = load_declaration(tmp_path)
    assert (declared.file, declared.declaration, declared.origins) == (None, Declaration(), {})


def test_the_file_is_read_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "buildonce.toml").write_bytes(b'\xef\xbb\xbfpush = "acme/app"\r\n')
    declared = load_declaration(tmp_path)
    assert declared.file == str(tmp_path / "buildonce.toml")
    assert declared.declaration.push == "acme/app"
    assert declared.origins == {("push",): f"{tmp_path / 'buildonce.toml'}:1"}


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "buildonce.toml").write_bytes(b'# caf\xe9\npush = "acme/app"\n')
    with pytest.raises(ConfigurationError, match=r"is not UTF-8: line 1 has the byte 0xe9"):
        load_declaration(tmp_path)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "buildonce.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_declaration(tmp_path)


def test_a_file_that_is_nested_too_deeply() -> None:
    with pytest.raises(ConfigurationError):
        read_toml("a = " + "[" * 100_000)

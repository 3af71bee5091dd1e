"""Compose files as declarations; what cannot be, with its message; and documents that nobody honest writes."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.errors import UsageError
from buildonce.project.compose import float_text, read_compose
from buildonce.project.compose_keys import EXPRESSED, NOT_YET, PASSED_OVER
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.dotenv import read_dotenv
from buildonce.project.yaml_documents import read_yaml
from buildonce.run.compose_files import find_compose_file, load_compose
from tests.project.compose_documents import CASES, Case

FAMILY = """\
name: family
x-build: &build
  context: ./src
  dockerfile: ../docker/Dockerfile
  args:
    VERSION: ${VERSION:-dev}
    DEBUG: false
    TOKEN_NAME:
services:
  web:
    image: registry.example/acme/web:${VERSION:-dev}
    build:
      <<: *build
      target: web
      tags: [registry.example/acme/web]
      platforms: [linux/amd64, linux/arm64]
      additional_contexts:
        assets: ../assets
        base: docker-image://alpine:3.20
    ports: ["80:80"]
    environment: {SECRET: "${SECRET:?only where it runs}"}
  worker:
    profiles: [jobs]
    platform: linux/arm64
    build: *build
  database:
    image: postgres:17
"""


def read(text: str, **environment: str) -> Declaration:
    return read_compose(text.encode(), path="compose.yaml", environment=environment)


def one(*lines: str) -> str:
    """Return a file with one service whose `build` has these lines."""
    return "services:\n  app:\n    build:\n" + "".join(f"      {line}\n" for line in lines)


def test_each_service_that_is_built_becomes_a_variant() -> None:
    declaration = read_compose(FAMILY.encode(), path="deploy/compose.yaml", environment={"VERSION": "7"})
    assert declaration.variants == (
        VariantDeclaration(
            name="web",
            dockerfile="deploy/docker/Dockerfile",
            context="deploy/src",
            target="web",
            args={"VERSION": "7", "DEBUG": "false"},
            contexts={"assets": "assets", "base": "docker-image://alpine:3.20"},
            platforms=("linux/amd64", "linux/arm64"),
            tags=("7", "latest"),
            push="registry.example/acme/web",
        ),
        VariantDeclaration(
            name="worker",
            dockerfile="deploy/docker/Dockerfile",
            context="deploy/src",
            args={"VERSION": "7", "DEBUG": "false"},
            platforms=("linux/arm64",),
        ),
    )


def test_an_argument_without_a_value_has_the_environments() -> None:
    assert read(FAMILY, TOKEN_NAME="t").variants[0].args == {"VERSION": "dev", "DEBUG": "false", "TOKEN_NAME": "t"}


def test_every_key_of_a_build_has_one_meaning() -> None:
    names = [*EXPRESSED, *PASSED_OVER, *NOT_YET]
    assert len(names) == len(set(names))
    assert all(reason for reason in (*PASSED_OVER.values(), *NOT_YET.values()))


@pytest.mark.parametrize("key", [*PASSED_OVER, "x-bake"])
def test_a_key_that_changes_no_image_is_passed_over(key: str) -> None:
    assert read(one("context: .", f"{key}: [anything]")) == read(one("context: ."))


@pytest.mark.parametrize("key", NOT_YET)
def test_a_key_that_is_not_expressed_is_an_error_that_names_it(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(one("context: .", f"{key}: anything"))
    assert str(caught.value) == (
        f"`{key}` of a service's build cannot be expressed yet\n"
        f"  = note: compose.yaml:5, services.app.build.{key}\nhelp: {NOT_YET[key]}"
    )
    assert read(one("context: .", f"{key}: false")) == read(one("context: ."))


WRONG: Mapping[str, tuple[str, str]] = {
    "no YAML": (
        "services: [\n",
        "compose.yaml is not YAML: did not find expected node content\n  = note: line 2, column 1",
    ),
    "a tab": (
        "services:\n\tapp: x",
        "compose.yaml is not YAML: found character that cannot start any token\n  = note: line 2, column 1",
    ),
    "a key twice": (
        one("context: .", "context: x"),
        "the key `context` stands twice in one mapping\n  = note: compose.yaml:5",
    ),
    "two documents": (
        "services: {}\n---\nservices: {}\n",
        "a second document begins\n  = note: compose.yaml:2\nhelp: keep one document in the file",
    ),
    "an unknown alias": ("services: *x", "the alias `*x` names nothing before it\n  = note: compose.yaml:1"),
    "an alias inside its own value": ("a: &a [*a]", "the alias `*a` names nothing before it\n  = note: compose.yaml:1"),
    "a tag": (
        one("args: !reset null"),
        "the tag `!reset` is not read\n  = note: compose.yaml:4\nhelp: write the value without a tag",
    ),
    "an object of Python": (
        "a: !!python/object/apply:os.system [id]",
        (
            "the tag `tag:yaml.org,2002:python/object/apply:os.system` is not read\n  = note: compose.yaml:1\n"
            "help: write the value without a tag"
        ),
    ),
    "a mapping as a key": ("? {a: b}\n: c", "a mapping or list stands where a key is needed\n  = note: compose.yaml:1"),
    "a text merged": (
        "a: {<<: text}",
        "`<<` has a text, and only a mapping can be merged\n  = note: compose.yaml:1",
    ),
    "no mapping": ("- a", "a list stands where a mapping is needed\n  = note: compose.yaml"),
    "nothing": ("", "no service in compose.yaml is built\nhelp: a service is built that has a `build`"),
    "nothing built": (
        "services: {app: {buidl: .}}",
        "no service in compose.yaml is built\nhelp: did you mean `build` for `buidl`?",
    ),
    "include": (
        "include: [a.yaml]\nservices: {a: {build: .}}",
        (
            "`include` is not read\n  = note: compose.yaml:1, include\n"
            "help: name the files that build something instead of this one"
        ),
    ),
    "extends": (
        "services:\n  a: {build: .}\n  b: {extends: a}\n",
        (
            "`extends` is not read, so what the service `b` builds is not known\n"
            "  = note: compose.yaml:3, services.b.extends\n"
            "help: write what it builds into the service itself; YAML's anchors can share it"
        ),
    ),
    "an unknown key": (
        one("contxt: ."),
        (
            "a service's build has no `contxt`\n  = note: compose.yaml:4, services.app.build.contxt\n"
            "help: did you mean `context`?"
        ),
    ),
    "a number for a text": (
        one("target: 5"),
        (
            "a number stands where a text is needed\n  = note: compose.yaml:4, services.app.build.target\n"
            "help: put it in quotes"
        ),
    ),
    "a text for a list": (
        one("platforms: linux/amd64"),
        "a text stands where a list is needed\n  = note: compose.yaml:4, services.app.build.platforms",
    ),
    "a list for an argument": (
        one("args:", "  A: [1]"),
        "a list stands where a text is needed\n  = note: compose.yaml:5, services.app.build.args.A",
    ),
    "a number in a list of arguments": (
        one("args:", "  - 5"),
        (
            "a number stands where a text is needed\n  = note: compose.yaml:5, services.app.build.args.0\n"
            "help: put it in quotes"
        ),
    ),
    "a variable that has to be set": (
        one("args:", "  A: ${A:?say which}"),
        (
            "the variable `A` has to be set: say which\n  = note: compose.yaml:5, services.app.build.args.A\n"
            "help: set it in the environment or in the file .env beside: A=..."
        ),
    ),
    "a variable of Compose": (
        one("args: ['A=$COMPOSE_PROJECT_NAME']"),
        (
            "`COMPOSE_PROJECT_NAME` is set by Compose alone\n"
            "  = note: compose.yaml:4, services.app.build.args.0\nhelp: set it in the environment"
        ),
    ),
    "a variable that cannot be read": (
        one("context: ${A"),
        (
            "the variable in `${A` cannot be read\n  = note: compose.yaml:4, services.app.build.context\n"
            "help: write ${NAME}, or $$ for a dollar that stays"
        ),
    ),
    "the image of another service": (
        one("additional_contexts: {base: 'service:b'}"),
        (
            "the context `base` is the result of `b`, which is no service with a `build`\n"
            "  = note: compose.yaml:4, services.app.build.additional_contexts.base\nhelp: there are: app"
        ),
    ),
    "a context without a value": (
        one("additional_contexts: [base]"),
        (
            "the context `base` has no value\n  = note: compose.yaml:4, services.app.build.additional_contexts.base\n"
            "help: write base=./folder"
        ),
    ),
    "a context elsewhere": (
        "services: {app: {build: 'https://github.com/acme/app.git'}}",
        (
            "the context `https://github.com/acme/app.git` is elsewhere, and only a folder here can be one\n"
            "  = note: compose.yaml:1, services.app.context\nhelp: clone or download it, and name the folder"
        ),
    ),
    "several repositories": (
        "services: {app: {image: 'r.io/a:1', build: {tags: ['r.io/b:1']}}}",
        (
            "the image goes to several repositories: r.io/a, r.io/b\n"
            "  = note: compose.yaml:1, services.app.build.tags\n"
            "help: keep the tags of one of them, and copy the released image to the others"
        ),
    ),
    "a name that is no image's": (
        "services: {app: {image: 'R.io/A B', build: .}}",
        (
            "`R.io/A B` is not an image reference\n  = note: compose.yaml:1, services.app.image\n"
            "help: write it as registry/repository[:tag][@digest], the repository in lower case"
        ),
    ),
    "several faults": (
        one("context: [x]", "ulimits: a", "tags: x"),
        (
            "3 things are wrong in compose.yaml\n"
            "  = note: compose.yaml:4, services.app.build.context: a list stands where a text is needed "
            "(help: put it in quotes)\n"
            "  = note: compose.yaml:6, services.app.build.tags: a text stands where a list is needed\n"
            "  = note: compose.yaml:5, services.app.build.ulimits: a text stands where a mapping is needed"
        ),
    ),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert str(caught.value) == said


LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60))]
)
HOSTILE: Mapping[str, str] = {
    "deep lists": "[" * 300_000,
    "deep mappings": "{a: " * 200_000,
    "deep blocks": "\n".join(" " * n + "a:" for n in range(1200)),
    "deep keys": "? " * 300_000,
    "deep dashes": "- " * 300_000,
    "a billion laughs": LAUGHS,
    "a billion laughs in mappings": LAUGHS.replace("[", "{k: [").replace("]", "]}"),
    "a billion laughs merged": "a0: &a0 {x: 1}\n"
    + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 60)),
    "aliases that nest": "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 1000)),
    "a large document": "a: " + "x" * (2 << 20),
    "very many values": "[" + "1," * 400_000 + "]",
    "very many anchors": "\n".join(f"- &a{n} x" for n in range(60_000)),
    "variables in variables": one("args:", "  A: " + "${A:-" * 5000 + "x" + "}" * 5000),
    "large values": one("args:", *(f"  A{n}: '{'$BIG' * 100}'" for n in range(500))),
    "bytes that are no text": "a: \udcff",
    "a control character": "a: \x01",
    "a NUL": 'services: {a: {build: "x\\0y"}}',
    "half a surrogate pair": 'services: {a: {build: "\\ud800"}}',
    "very many faults": one(*(f"k{n}: 1" for n in range(20_000))),
    "a percent sign": "%YAML 9.9\n---\na: b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_document_is_refused_in_time(text: str) -> None:
    started = time.monotonic()
    environment = {"BIG": "x" * 10_000}
    with pytest.raises(UsageError) as caught:
        read_compose(text.encode(errors="surrogateescape"), path="compose.yaml", environment=environment)
    assert time.monotonic() - started < 20
    assert len(str(caught.value)) < 20_000


LINES = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(
            ["services:", "a:", "build:", "args:", "- x", "context: .", "<<: *a", "&a", "'$X'", "{", "]", "!x"]
        ),
    ),
    max_size=8,
)


@given(LINES)
def test_whatever_a_file_holds_it_is_read_or_refused(lines: list[tuple[int, str]]) -> None:
    with suppress(UsageError):
        read("".join(f"{'  ' * indent}{line}\n" for indent, line in lines))


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(UsageError):
        read_yaml(data, "compose.yaml")
    with suppress(UsageError):
        read_dotenv(data, path=".env", environment={})


@pytest.mark.parametrize(
    ("number", "text"),
    [(3.0, "3"), (1e6, "1e+06"), (999999.5, "999999.5"), (1.5e-7, "1.5e-07"), (0.0001, "0.0001"), (-0.0, "-0")],
)
def test_a_number_has_gos_form(number: float, text: str) -> None:
    assert float_text(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_means_the_number(number: float) -> None:
    assert struct.pack("d", float(float_text(number))) == struct.pack("d", number)


def test_values_have_lines() -> None:
    document = read_yaml(b"a:\n  - b\n  -\n    c: 1\n", "f")
    assert document.value == {"a": ["b", {"c": Decimal(1)}]}
    assert document.lines == {("a",): 1, ("a", "0"): 2, ("a", "1"): 4, ("a", "1", "c"): 4}


@pytest.mark.parametrize(
    ("text", "place"),
    [("A=1\nB C\n", ".env:2"), ("A='x\n", ".env:1"), ('A="x" y\n', ".env:1"), ("A=${\n", ".env:1"), ("=x", ".env:1")],
)
def test_a_line_that_is_no_variable_is_an_error(text: str, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_dotenv(text.encode(), path=".env", environment={})
    assert place in caught.value.notes


def test_variables_that_double_are_refused() -> None:
    text = "V0=xxxxxxxx\n" + "".join(f"V{n}=$V{n - 1}$V{n - 1}\n" for n in range(1, 100))
    with pytest.raises(UsageError, match="grows out of all bounds"):
        read_dotenv(text.encode(), path=".env", environment={})


def test_the_first_of_composes_files_is_found(tmp_path: Path) -> None:
    assert find_compose_file(tmp_path) is None
    for name in ("docker-compose.yaml", "compose.yml"):
        (tmp_path / name).touch()
    assert find_compose_file(tmp_path) == tmp_path / "compose.yml"


def test_the_environment_wins_over_the_file_of_variables(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(one("args: ['A=$A', 'B=$B', C]"))
    (tmp_path / ".env").write_text("A=file\nB=file\nC=file\n")
    assert load_compose(tmp_path, environment={"B": "set"}).variants[0].args == {"A": "file", "B": "set", "C": "file"}
    without = load_compose(tmp_path, environment={"COMPOSE_DISABLE_ENV_FILE": "true"})
    assert without.variants[0].args == {"A": "", "B": ""}


def test_a_file_in_another_folder_has_its_own_variables_and_folders(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/stack.yaml").write_text(one("context: ../src", "args: [A]"))
    (tmp_path / "deploy/.env").write_text("A=deploy\n")
    (variant,) = load_compose(tmp_path, environment={}, file=Path("deploy/stack.yaml")).variants
    assert (variant.context, variant.dockerfile, variant.args) == ("src", "src/Dockerfile", {"A": "deploy"})


def test_an_override_file_may_change_what_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(one("context: ."))
    (tmp_path / "compose.override.yaml").write_text("services: {app: {ports: ['80:80']}}")
    assert [variant.name for variant in load_compose(tmp_path, environment={}).variants] == ["app"]


@pytest.mark.parametrize(
    ("files", "environment", "said"),
    [
        ({}, {}, "there is no Compose file in F\nhelp: Compose files are called compose.yaml, compose.yml, "),
        (
            {"compose.yaml": one("context: ."), "compose.override.yml": "services: {app: {build: {target: x}}}"},
            {},
            "compose.override.yml changes what the services of compose.yaml build, and is not merged with it yet\n",
        ),
        (
            {"compose.yaml": one("context: .")},
            {"COMPOSE_FILE": "a:b"},
            "COMPOSE_FILE is set, which names other files than compose.yaml\nhelp: unset it, or name the Compose file",
        ),
        (
            {"compose.yaml": one("context: ."), ".env": "COMPOSE_FILE=a.yaml"},
            {},
            "COMPOSE_FILE is set, which names other files than compose.yaml\n",
        ),
        (
            {"compose.yaml": one("context: ."), ".env": "A B"},
            {},
            ".env has a line that is no variable\n  = note: .env:1",
        ),
    ],
)
def test_what_compose_would_read_besides_is_not_passed_over(
    files: Mapping[str, str], environment: Mapping[str, str], said: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        load_compose(tmp_path, environment=environment)
    assert str(caught.value).replace(str(tmp_path), "F").startswith(said)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no Compose file .*/x\.yaml"):
        load_compose(tmp_path, environment={}, file=Path("x.yaml"))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_known_file_is_read(case: Case, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(case.text)
    (tmp_path / ".env").write_text(case.dotenv)
    assert load_compose(tmp_path, environment=case.environment).variants

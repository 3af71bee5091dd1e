"""Default, file, environment and command line: which one counts, and what is said about it."""

from __future__ import annotations

import pytest

from buildonce.errors import ConfigurationError
from buildonce.project.build_settings import settings_of
from buildonce.project.layers import Fallbacks, Layer, environment_layer, lay_over, resolve_layers
from buildonce.project.listing import list_settings
from buildonce.project.toml import Configuration, read_toml

FILE = """\
platforms = ["linux/amd64", "linux/arm64"]
push = "registry.example/acme/app"
cache = "registry.example/acme/cache"
tags = ["{version}-{variant}"]
[args]
VERSION = "1.0"
NPM_TOKEN = "hidden-from-view"
[variants.claude]
[variants.grok]
dockerfile = "Dockerfile.grok"
platforms = ["linux/amd64"]
tags = ["{variant}"]
push = "registry.example/acme/grok"
args = { VERSION = "2.0" }
"""
HERE = Fallbacks(platform="linux/x86_64", folder=".buildonce")
NOTHING = Layer()


def resolve(text: str, environment: dict[str, str] | None = None, flags: Layer = NOTHING) -> Configuration:
    return resolve_layers(read_toml(text), lay_over(environment_layer(environment or {}), flags), HERE)


def shown(declared: Configuration) -> dict[str, tuple[object, str]]:
    return {one.key: (one.value, one.origin) for one in list_settings(declared)}


def test_what_nobody_says_has_a_default() -> None:
    assert shown(resolve_layers(Configuration(), NOTHING, HERE)) == {
        "dockerfile": ("Dockerfile", "default"),
        "context": (".", "default"),
        "platforms": (("linux/x86_64",), "default"),
        "build-platform": ("linux/amd64", "default"),
        "output": ("oci:.buildonce/images", "default"),
        "cache": ("oci:.buildonce/cache", "default"),
        "tags": (("{variant}",), "default"),
        "latest": ("never", "default"),
    }


def test_the_file_counts_above_defaults_and_says_its_lines() -> None:
    found = shown(resolve(FILE))
    assert found["push"] == ("registry.example/acme/app", "buildonce.toml:2")
    assert found["variants.claude.args.VERSION"] == ("1.0", "buildonce.toml:6")
    assert found["variants.grok.args.VERSION"] == ("2.0", "buildonce.toml:14")
    assert found["variants.claude.dockerfile"] == ("Dockerfile", "default")
    assert found["variants.grok.target"] == (None, "default")
    assert found["variants.grok.push"] == ("registry.example/acme/grok", "buildonce.toml:13")


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("BUILDONCE_PUSH", "r.example/x", "push", "r.example/x"),
        ("BUILDONCE_OUTPUT", "oci:x", "output", "oci:x"),
        ("BUILDONCE_CACHE", "r.example/y", "cache", "r.example/y"),
        ("BUILDONCE_PLATFORM", "linux/amd64, linux/riscv64", "platforms", ("linux/amd64", "linux/riscv64")),
        ("BUILDONCE_BUILD_PLATFORM", "linux/arm64", "build-platform", "linux/arm64"),
        ("BUILDONCE_TAG", "{variant}-{sha},{variant}", "tags", ("{variant}-{sha}", "{variant}")),
        ("BUILDONCE_DEFAULT", "grok", "default", "grok"),
        ("BUILDONCE_LATEST", "release", "latest", "release"),
    ],
)
def test_the_environment_counts_above_the_file(variable: str, text: str, key: str, value: object) -> None:
    assert shown(resolve(FILE, {variable: text}))[key] == (value, f"environment {variable}")


def test_an_empty_variable_says_nothing() -> None:
    assert resolve(FILE, {"BUILDONCE_PUSH": "", "BUILDONCE_TAG": " "}) == resolve(FILE)


def test_the_command_line_counts_above_all() -> None:
    flags = Layer(
        platforms=("linux/arm64",), push="r.example/flag", tags=("{sha}-{variant}",), build_platform="linux/arm64",
        args={"VERSION": "3.0", "DEBUG": "1"}, contexts={"data": "d"}, cache="oci:c", context="sub",
    )  # fmt: skip
    found = shown(resolve(FILE, {"BUILDONCE_PUSH": "r.example/x", "BUILDONCE_TAG": "{variant}"}, flags))
    assert found["push"] == ("r.example/flag", "--push")
    assert found["tags"] == (("{sha}-{variant}",), "--tag")
    assert found["cache"] == ("oci:c", "--cache")
    assert found["build-platform"] == ("linux/arm64", "--build-platform")
    assert found["platforms"] == (("linux/arm64",), "--platform")
    assert found["variants.claude.context"] == ("sub", "--context")
    assert found["variants.claude.args.VERSION"] == ("3.0", "--build-arg")
    assert found["variants.claude.args.DEBUG"] == ("1", "--build-arg")
    assert found["variants.claude.contexts.data"] == ("d", "--build-context")
    assert not {key for key in found if key.startswith("variants.grok")}, "it is for linux/amd64 alone"


def test_given_files_are_added() -> None:
    text = "[given]\nbuilder = 'dist'\ntools.'/bin/tool' = 'tool'\n"
    flags = Layer(given={"builder": {"/": "other"}, "more": {"/": "m"}})
    found = {key: value for key, value in shown(resolve(text, {}, flags)).items() if key.startswith("given")}
    assert found == {
        "given.builder": ("other", "--given"),
        'given.tools."/bin/tool"': ("tool", "buildonce.toml:3"),
        "given.more": ("m", "--given"),
    }


def test_a_place_of_a_higher_layer_takes_that_of_every_variant() -> None:
    for layer in (Layer(push="r.example/x"), Layer(output="oci:x")):
        declaration = resolve(FILE, {"BUILDONCE_PUSH": "r.example/env"}, layer).declaration
        assert (declaration.push, declaration.output) == (layer.push, layer.output)
        assert [variant.push for variant in declaration.variants] == [None, None]
    assert "push" not in shown(resolve(FILE, {}, Layer(output="oci:x")))


def test_tags_of_a_higher_layer_take_those_of_every_variant() -> None:
    found = resolve(FILE, {}, Layer(tags=("{sha}-{variant}",))).declaration
    assert [variant.tags for variant in found.variants] == [(), ()]


def test_a_higher_layer_chooses_among_the_platforms_of_a_variant() -> None:
    def platforms(*chosen: str) -> dict[str, tuple[str, ...]]:
        declaration = resolve(FILE, {"BUILDONCE_PLATFORM": "linux/s390x"}, Layer(platforms=chosen)).declaration
        return {one.name: one.platforms or declaration.platforms for one in declaration.variants}

    assert platforms("linux/arm64") == {"claude": ("linux/arm64",)}
    assert platforms("linux/x86_64", "linux/arm64") == {
        "claude": ("linux/x86_64", "linux/arm64"),
        "grok": ("linux/amd64",),
    }


def test_platforms_that_no_variant_has_are_an_error() -> None:
    text = '[variants.a]\nplatforms = ["linux/amd64"]\n'
    with pytest.raises(ConfigurationError) as caught:
        resolve(text, {}, Layer(platforms=("linux/arm64",)))
    assert str(caught.value) == (
        "no variant is for linux/arm64, which --platform asks for\n"
        "  = note: `a` is for linux/amd64\n"
        "help: choose among these platforms, or add one to the variant's `platforms`"
    )


def test_dockerfiles_of_the_command_line_have_variants_of_their_own() -> None:
    found = shown(resolve(FILE, {}, Layer(dockerfiles=("a/Dockerfile", "b/Dockerfile"), args={"X": "1"})))
    assert found["dockerfile"] == (("a/Dockerfile", "b/Dockerfile"), "--file")
    assert found["args.VERSION"] == ("1.0", "buildonce.toml:6")
    assert found["args.X"] == ("1", "--build-arg")
    assert not any(key.startswith("variants") for key in found)


@pytest.mark.parametrize(
    ("text", "cache", "tags"),
    [
        ('push = "acme/app"\n', "docker.io/acme/app-cache", ("{variant}",)),
        ('push = "r.example/acme/{variant}"\n', "r.example/acme/cache", ()),
        ('output = "oci:dist"\n', "oci:.buildonce/cache", ("{variant}",)),
        ('output = "oci:dist/{variant}"\n', "oci:.buildonce/cache", ()),
    ],
)
def test_the_cache_is_beside_the_images(text: str, cache: str, tags: tuple[str, ...]) -> None:
    declaration = resolve(text).declaration
    assert (declaration.cache, declaration.tags) == (cache, tags)


def test_secrets_are_not_shown() -> None:
    settings = list_settings(resolve(FILE, {}, Layer(contexts={"x": "https://me:pw@git.example/x"})))
    text = repr(settings)
    assert "hidden-from-view" not in text
    assert "pw@" not in text
    assert [one.key for one in settings if one.is_secret] == [
        "variants.claude.args.NPM_TOKEN",
        "variants.grok.args.NPM_TOKEN",
    ]


def test_names_with_dots_are_written_as_toml_does() -> None:
    found = shown(resolve('[variants."a.b"]\nargs = { "x.y" = "1" }\n'))
    assert found['variants."a.b".args."x.y"'] == ("1", "buildonce.toml:2")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"BUILDONCE_PUSH": "oci:x"}, "BUILDONCE_PUSH: `oci:x` is not a repository; an OCI layout on disk is written"),
        ({"BUILDONCE_PLATFORM": "linux/amd64,arm64"}, "BUILDONCE_PLATFORM: `arm64` is not a platform; did you mean"),
        ({"BUILDONCE_TAG": "{foo}"}, "BUILDONCE_TAG: `{foo}` is not a template for tags; there is no field `{foo}`"),
        ({"BUILDONCE_LATEST": "main"}, "BUILDONCE_LATEST: `main` is not a rule for `latest`; did you mean `branch"),
        ({"BUILDONCE_PLATFORMS": "x"}, "BUILDONCE_PLATFORMS is not read; the variable is called BUILDONCE_PLATFORM"),
        (
            {"BUILDONCE_PUSH": "a/b", "BUILDONCE_OUTPUT": "oci:x"},
            "BUILDONCE_PUSH and BUILDONCE_OUTPUT exclude each other; name one place for the images",
        ),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        environment_layer(environment)
    assert caught.value.message.startswith(message)


def test_all_wrong_variables_are_named_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        environment_layer({"BUILDONCE_CACHE": "./x", "BUILDONCE_PUSH": "./x"})
    assert len(caught.value.notes) == 1


TOLD = """\
labels = { "a" = "1", "b" = "2" }
secrets = ["id=npm,src=.npmrc", "id=other,env=OTHER"]
cache-from = ["type=gha"]
no-cache = true
[variants.claude]
labels.b = "3"
no-cache = false
[variants.codex]
network = "none"
"""


def test_what_a_build_is_told_is_added_to() -> None:
    flags = Layer(
        build=settings_of(
            {"labels": {"c": "4"}, "secrets": ("id=npm,env=NPM",), "cache-from": ("r.io/a",), "network": "host"}
        )
    )
    found = shown(resolve(TOLD, flags=flags))
    claude = {key.removeprefix("variants.claude."): value for key, value in found.items() if ".claude." in key}
    assert claude["labels.a"] == ("1", "buildonce.toml:1")
    assert claude["labels.b"] == ("3", "buildonce.toml:6")
    assert claude["labels.c"] == ("4", "--label")
    assert claude["secrets"] == (("id=other,env=OTHER", "id=npm,env=NPM"), "--secret")
    assert claude["cache-from"] == (("r.io/a",), "--cache-from")
    assert claude["network"] == ("host", "--network")
    assert "no-cache" not in claude
    assert found["variants.codex.no-cache"] == (True, "buildonce.toml:4")
    assert found["variants.codex.network"] == ("host", "--network")

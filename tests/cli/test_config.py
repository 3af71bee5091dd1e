"""`config` as it is called."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from tests.cli.conftest import Call

FILE = """\
platforms = ["linux/amd64"]
push = "registry.example/acme/app"

[args]
VERSION = "1.0"
API_KEY = "do-not-show"

[variants.claude]

[variants.grok]
dockerfile = "Dockerfile.grok"
"""


def test_the_configuration_is_shown_with_its_origins(call: Call, project: Path, environment: dict[str, str]) -> None:
    (project / "buildonce.toml").write_text(FILE)
    ran = call("config", "--show-origin", "--tag", "{variant}-{sha}", "--build-arg", "DEBUG=1", "--variant", "grok")
    assert ran.code == 0, ran.err
    assert (
        ran.out
        == """\
platforms = ["linux/amd64"]                   # buildonce.toml:1
build-platform = "linux/amd64"                # default
push = "registry.example/acme/app"            # buildonce.toml:2
cache = "registry.example/acme/app-cache"     # default
tags = ["{variant}-{sha}"]                    # --tag
latest = "never"                              # default
variants.grok.dockerfile = "Dockerfile.grok"  # buildonce.toml:11
variants.grok.context = "."                   # default
# variants.grok.target is the last stage      # default
# variants.grok.args.API_KEY is secret        # buildonce.toml:6
variants.grok.args.DEBUG = "1"                # --build-arg
variants.grok.args.VERSION = "1.0"            # buildonce.toml:5
"""
    )


def test_what_is_shown_is_toml_that_declares_the_same(call: Call, project: Path) -> None:
    (project / "buildonce.toml").write_text(FILE.replace("API_KEY", "API"))
    shown = call("config").out
    assert tomllib.loads(shown)["variants"]["claude"]["args"] == {"VERSION": "1.0", "API": "do-not-show"}
    (project / "buildonce.toml").write_text(shown)
    assert call("config").out == shown


def test_it_prints_json(call: Call, project: Path) -> None:
    (project / "buildonce.toml").write_text(FILE)
    document = json.loads(call("config", "--json").out)
    assert (document["schema"], document["file"]) == ("buildonce.configuration/1", "buildonce.toml")
    values = {one["key"]: one for one in document["values"]}
    assert values["push"]["origin"] == "buildonce.toml:2"
    assert values["variants.claude.args.API_KEY"] == {
        "key": "variants.claude.args.API_KEY",
        "value": None,
        "origin": "buildonce.toml:6",
        "secret": True,
    }


def test_without_a_file_there_are_defaults(call: Call) -> None:
    ran = call("config", "--json", "--context", "sub")
    document = json.loads(ran.out)
    assert document["file"] is None
    assert {one["key"]: one["value"] for one in document["values"]}["cache"] == "oci:sub/.buildonce/cache"


def test_a_wrong_file_is_shown_with_its_place(call: Call, project: Path) -> None:
    (project / "buildonce.toml").write_text('platfroms = ["linux/amd64"]\n')
    ran = call("config")
    assert ran.code == 2
    assert ran.err.startswith("error[CONFIGURATION]: unknown key `platfroms`\n --> buildonce.toml:1:1\n")
    assert "help: did you mean `platforms`?" in ran.err


def test_options_that_exclude_each_other(call: Call) -> None:
    ran = call("config", "--push", "a/b", "--output", "oci:x")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error[USAGE]: --push and --output exclude each other")


def test_a_variant_that_the_file_does_not_declare(call: Call, project: Path) -> None:
    (project / "buildonce.toml").write_text(FILE)
    ran = call("config", "--variant", "groq")
    assert ran.code == 2
    assert ran.err == (
        "error[USAGE]: there is no variant `groq`\n"
        "  = note: buildonce.toml declares claude, grok\n"
        "help: did you mean `--variant grok`?\n"
    )

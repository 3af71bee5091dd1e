"""Keys of real trees, each planned in a process of its own: where and how a tree lies on disk is no input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

DOCKERFILE = "FROM scratch AS b\nCOPY src/ /s/\nRUN make\nFROM scratch AS app\nCOPY --from=b /s /s\nCOPY n\u00e9 /\n"
SOURCE = Path(__file__).parents[2] / "src"


def make_tree(folder: Path) -> Path:
    (folder / "src").mkdir(parents=True)
    for name, text in {
        "Dockerfile": DOCKERFILE,
        "src/a": "a",
        "n\u00e9": "n",
        ".dockerignore": "src/\u00e9x\n",
    }.items():
        (folder / name).write_text(text)
    (folder / "src/\u00e9x").write_text("ignored")
    (folder / "src/link").symlink_to("a")
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def keys(folder: Path, environment: Mapping[str, str] | None = None, umask: int = 0o022) -> list[str]:
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "BUILDONCE_STATE": str(folder.parent / "state")}
    argv = [sys.executable, "-m", "buildonce", "plan", "--json", "--platform=linux/amd64"]
    done = subprocess.run(
        argv, cwd=folder, env={**own, **(environment or {})}, capture_output=True, text=True, umask=umask
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return sorted(node["key"] for kind in ("cores", "bases") for node in document[kind])


KINDS = ["time", "path", "umask", "owner", "locale", "ascii", "ignored", "mode", "link", "content", "name"]


@pytest.mark.parametrize("what", KINDS)
def test_only_what_buildkit_sees_changes_a_key(tmp_path: Path, what: str) -> None:
    tree = make_tree(tmp_path / "one")
    before = keys(tree)
    environment: dict[str, str] = {}
    match what:
        case "time":
            os.utime(tree / "src/a", (1, 1))
        case "path":
            tree = make_tree(tmp_path / "deep" / "two words")
        case "owner":
            if os.geteuid() == 0:
                os.chown(tree / "src/a", 12, 34)
        case "locale":
            environment = {"LC_ALL": "C.utf8", "LANG": "de_DE", "TZ": "Asia/Tokyo"}
        case "ascii":
            environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        case "ignored":
            (tree / "src/\u00e9x").write_text("other")
        case "mode":
            (tree / "src/a").chmod(0o755)
        case "link":
            (tree / "src/link").unlink()
            (tree / "src/link").symlink_to("b")
        case "content":
            (tree / "src/a").write_text("b")
        case "name":
            (tree / "src/a").rename(tree / "src/b")
    after = keys(tree, environment, 0o077 if what == "umask" else 0o022)
    assert (before != after) == (what in ("mode", "link", "content", "name"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "is no name and value"),
        ("UPPER=src", "call it `upper`"),
        ("a::linux/amd64=src", "for one platform only"),
        ("a=scr", "did you mean --build-context a=src?"),
        ("a=Dockerfile", "is a file"),
        ("a=docker-images://x", "did you mean --build-context a=docker-image://x?"),
        ("a=oci-layout://src", "is no OCI layout"),
    ],
)
def test_wrong_named_contexts(tmp_path: Path, value: str, message: str) -> None:
    tree = make_tree(tmp_path / "one")
    argv = [sys.executable, "-m", "buildonce", "plan", "--build-context", value]
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "BUILDONCE_STATE": str(tmp_path / "state")}
    done = subprocess.run(argv, cwd=tree, env=own, capture_output=True, text=True)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr

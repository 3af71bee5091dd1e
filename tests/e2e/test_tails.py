"""Tails of many kinds: each has the right verdict, and whatever is shipped equals the plain build in every round."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.comparison import image_differences, render
from tests.e2e.debian_packages import make_archive, make_package
from tests.e2e.harness import AMD64, Document, Host, Project, digests_of, engine_nodes, new_project
from tests.e2e.images import Image, layout_blobs, read_image
from tests.e2e.plain import Order, plain_builds
from tests.e2e.tails import GROWS, TAILS, files

pytestmark = pytest.mark.host

ALL = {**TAILS, "grows": GROWS}
ROUNDS = ("first", "again")

SOME = ("mkdir", "useradd", "script", "hidden-force", "date")
COMPARED = [*(("first", name) for name in SOME), *(("again", name) for name in ALL)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The project built once: the plan before and after, the outcome, and the project as it was."""

    before: Document
    outcome: Document
    after: Document
    project: Path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project is, and what is made of it."""
    return tmp_path_factory.mktemp("tails")


@pytest.fixture(scope="session")
def project(host: Host, folder: Path) -> Project:
    """The project with all tails."""
    made = new_project(host, folder, files())
    (made.folder / "x.tar").write_bytes(make_archive({"unpacked/x": "x\n"}))
    (made.folder / "x.deb").write_bytes(make_package("x", {"opt/package/x": "x\n"}))
    return made


@pytest.fixture(scope="session")
def rounds(project: Project, folder: Path, run_id: str) -> Mapping[str, Round]:
    """The tails with a first program, and with another that is larger and says something else."""
    texts = {"first": f"1 version 1 {run_id}\n", "again": f"2 version 2 {run_id}\n" + "x" * 1_100_000}
    found = {}
    for name in ROUNDS:
        project.write("version.txt", texts[name])
        before = plan(project)
        outcome = project.build("--output", f"oci:{folder / 'out'}", platforms=(AMD64,), timeout=900)
        shutil.copytree(project.folder, folder / name, ignore=shutil.ignore_patterns(".buildonce"))
        found[name] = Round(before=before, outcome=outcome, after=plan(project), project=folder / name)
    return found


@pytest.fixture(scope="session")
def plainly(
    host: Host, rounds: Mapping[str, Round], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Order, Future[Image]]]:
    """The tails, built plainly in both rounds."""
    orders = (Order(rounds[visit].project, name) for visit, name in COMPARED)
    with plain_builds(host, orders, tmp_path_factory.mktemp("plainly")) as built:
        yield built


def plan(project: Project, *arguments: str) -> Document:
    return project.buildonce("plan", "--json", f"--platform={AMD64}", *arguments).document


def images(document: Document) -> Mapping[str, Document]:
    return {image["variant"]: image for image in document["images"]}


def test_there_are_many_tails() -> None:
    assert len(TAILS) >= 60


def test_each_text_has_its_verdict(rounds: Mapping[str, Round]) -> None:
    verdicts = {name: image["verdict"] for name, image in images(rounds["first"].before).items()}
    assert verdicts == {name: tail.verdict for name, tail in ALL.items()}


@pytest.mark.parametrize("name", ALL)
def test_each_proof_shows_what_it_should(rounds: Mapping[str, Round], name: str) -> None:
    tail, image = ALL[name], images(rounds["first"].outcome)[name]
    expected = ("assembled", tail.verdict) if tail.is_assembled else ("built", "engine")
    assert (image["made"], image["verdict"]) == expected, image["reason"]
    assert tail.reason in image["reason"]


@pytest.mark.parametrize(("visit", "name"), COMPARED)
def test_what_is_shipped_equals_a_plain_build(
    rounds: Mapping[str, Round], plainly: Mapping[Order, Future[Image]], folder: Path, visit: str, name: str
) -> None:
    one, tail = rounds[visit], ALL[name]
    shipped = read_image(layout_blobs(folder / "out"), digests_of(one.outcome)[(name, AMD64)])
    found = image_differences(plainly[Order(one.project, name)].result(), shipped)
    differences = [text for text in found if not (tail.changing and text.startswith(tail.changing))]
    assert not differences, render(differences)
    assert bool(found) == bool(tail.changing), "a tail that always differs is one to leave out of the comparison"


def test_with_another_program_only_the_engine_s_images_are_built(rounds: Mapping[str, Round]) -> None:
    outcome = rounds["again"].outcome
    assert engine_nodes(outcome, "base") == []
    grown = {f"{name} {AMD64}" for name, tail in ALL.items() if tail.proven and tail.by_size}
    assert set(engine_nodes(outcome, "prove")) == grown, "what they copy grew past a round size"
    built = sorted(f"{name} {AMD64}" for name, tail in TAILS.items() if not tail.is_assembled)
    assert engine_nodes(outcome, "build") == sorted([*built, f"grows {AMD64}"])
    made = {name: image["made"] for name, image in images(outcome).items() if image["made"] == "assembled"}
    assert sorted(made) == sorted(name for name, tail in TAILS.items() if tail.is_assembled)


def test_the_plan_shows_what_is_proven(rounds: Mapping[str, Round]) -> None:
    after = rounds["first"].after
    bases = {base["name"]: base for base in after["bases"]}
    for name, tail in ALL.items():
        image = images(after)[name]
        assert image["verdict"] == (tail.verdict if tail.is_assembled else "engine")
        if tail.proven is not None:
            assert bases[name]["proven"] is tail.proven
            assert bases[name]["reason"].startswith("proven equal on" if tail.proven else "disproven on")
            assert tail.reason in bases[name]["reason"]
            assert ("proven equal on" if tail.proven else "disproven on") in image["reason"]
    assert after["engine_runs"] == 0, "nothing is left to do"


def test_proofs_are_made_anew_on_request(rounds: Mapping[str, Round], project: Project, folder: Path) -> None:
    variants = [argument for name in SOME for argument in ("--variant", name)]
    wanted = plan(project, *variants)
    assert [base["proof"] for base in wanted["bases"]] == [False] * len(SOME)
    outcome = project.build("--prove", *variants, "--output", f"oci:{folder / 'out'}", platforms=(AMD64,))
    shown = {proof["base"]: proof["equal"] for proof in outcome["proofs"]}
    assert shown == {name: TAILS[name].proven for name in SOME}
    assert set(engine_nodes(outcome, "prove")) == {f"{name} {AMD64}" for name in SOME}
    again = {name: image["digest"] for name, image in images(rounds["again"].outcome).items() if name in SOME}
    assert {name: image["digest"] for name, image in images(outcome).items()} == again

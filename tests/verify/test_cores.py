"""Which file of a core a file of an image is: told from the copy that made it, as COPY itself makes it."""

from __future__ import annotations

import pytest

from buildonce.assemble.copying import CopySpec, copy_entries, destination_path
from buildonce.assemble.resolution import clean
from buildonce.assemble.tree import Tree, apply_layer, apply_layers
from buildonce.ship.late_copies import LateCopy
from buildonce.verify.comparing import Variant, compare_cores
from buildonce.verify.cores import CoreFile, core_files
from buildonce.verify.findings import Place
from buildonce.verify.ledger import Ledger
from tests.assemble.archives import directory, make_tar, member, read_tar, symlink

SOURCE = apply_layers(
    [
        read_tar(
            make_tar(
                [
                    directory("out"),
                    member("out/app", content=b"app"),
                    member("out/tool", content=b"tool"),
                    directory("out/lib"),
                    member("out/lib/a.so", content=b"a"),
                    directory("out/lib/deep"),
                    member("out/lib/deep/b.so", content=b"b"),
                    symlink("out/lib/c.so", "a.so"),
                    directory("out/app.d"),
                    member("out/app.d/app", content=b"another app"),
                ]
            )
        )
    ]
)
BASE = apply_layers(
    [read_tar(make_tar([directory("usr"), directory("usr/bin"), symlink("bin", "usr/bin"), directory("opt")]))]
)


def files_of(sources: tuple[str, ...], destination: str, *, parents: bool = False) -> dict[str, str]:
    """Return what each file of a copy was in the core, by its path in the image."""
    spec = CopySpec(sources=sources, destination=destination, parents=parents)
    layer = copy_entries(spec, SOURCE, BASE, epoch=None)
    path, is_directory = destination_path(spec)
    copy = LateCopy(
        core="builder",
        layer=0,
        sources=tuple(map(clean, sources)),
        destination=f"{path.rstrip('/')}/" if is_directory else path,
        parents=parents,
    )
    found = {file.path: file.source for file in core_files(copy, layer, BASE)}
    above = apply_layer(BASE, layer)
    for path, source in found.items():
        if source.strip("/") in SOURCE:
            assert above[path].digest == SOURCE[source.strip("/")].digest, f"{path} is not {source}"
    return found


@pytest.mark.parametrize(
    ("sources", "destination", "files"),
    [
        (("/out/app",), "/opt/app", {"opt/app": "/out/app"}),
        (("/out/app",), "/opt/renamed", {"opt/renamed": "/out/app"}),
        (("/out/app",), "/opt/", {"opt/app": "/out/app"}),
        (("/out/app",), "/opt", {"opt/app": "/out/app"}),
        (("/out/app",), "/", {"app": "/out/app"}),
        (("/out/app",), "/bin/", {"usr/bin/app": "/out/app"}),
        (("/out/app",), "/bin/app2", {"usr/bin/app2": "/out/app"}),
        (("/out/app", "/out/tool"), "/bin/", {"usr/bin/app": "/out/app", "usr/bin/tool": "/out/tool"}),
        (
            ("/out/lib",),
            "/opt/lib",
            {
                "opt/lib/a.so": "/out/lib/a.so",
                "opt/lib/c.so": "/out/lib/c.so",
                "opt/lib/deep/b.so": "/out/lib/deep/b.so",
            },
        ),
        (("/out/lib/deep/",), "/bin", {"usr/bin/b.so": "/out/lib/deep/b.so"}),
        (
            ("/out/*.d", "/out/tool"),
            "/opt/",
            {"opt/app": "/out/*.d /out/tool app", "opt/tool": "/out/tool"},
        ),
        (("/out/t*",), "/opt/", {"opt/tool": "/out/t* tool"}),
    ],
)
def test_a_file_s_source_is_told(sources: tuple[str, ...], destination: str, files: dict[str, str]) -> None:
    assert files_of(sources, destination) == files


def test_a_copy_with_parents_says_it_itself() -> None:
    found = files_of(("/out/lib/deep/b.so", "/out/app"), "/opt/", parents=True)
    assert found == {"opt/out/lib/deep/b.so": "/out/lib/deep/b.so", "opt/out/app": "/out/app"}


def test_one_file_is_one_source_wherever_it_goes() -> None:
    ways = [(("/out/app",), "/bin/"), (("/out/app", "/out/tool"), "/opt/"), (("out/app",), "/x/y/z")]
    assert all("/out/app" in files_of(*way).values() for way in ways)


def variant(name: str, *files: CoreFile, says: bool = True, copied: dict[str, str] | None = None) -> Variant:
    place = Place(reference=f"r:{name}", platform="linux/amd64")
    return Variant(place=place, core_files=files if says else None, copied=copied or {}, asked={})


def file(source: str, content: str, core: str = "builder") -> CoreFile:
    return CoreFile(core=core, source=source, path=source.strip("/"), content=content)


def test_files_that_differ_alike_are_one_finding() -> None:
    ledger = Ledger()
    old = [variant(name, *(file(f"/out/{n}", "old") for n in range(9))) for name in ("a", "b", "c")]
    new = variant("d", *(file(f"/out/{n}", "new") for n in range(9)))
    assert compare_cores([*old, new], ledger) == 9
    (finding,) = ledger.findings
    assert finding.place.reference == "r:d", "the odd one is named"
    assert finding.message.startswith("`/out/0` of the core `builder`")
    assert "old in r:a, r:b, r:c" in finding.notes
    assert "new in r:d" in finding.notes
    assert any("differ in 8 more" in note for note in finding.notes)


def test_files_that_differ_otherwise_are_findings_of_their_own() -> None:
    ledger = Ledger()
    one = variant("a", file("/x", "1"), file("/y", "1"), file("/z", "1", core="other"))
    two = variant("b", file("/x", "2"), file("/y", "1"), file("/z", "2", core="other"))
    three = variant("c", file("/x", "1"), file("/y", "2"))
    compare_cores([one, two, three], ledger)
    assert [finding.message.split("`")[1] for finding in ledger.findings] == ["/x", "/y", "/z"]


def test_what_only_one_has_is_not_compared() -> None:
    ledger = Ledger()
    assert compare_cores([variant("a", file("/x", "1")), variant("b", file("/y", "2"))], ledger) == 0
    assert not ledger.findings


def test_an_image_that_says_nothing_is_held_against_the_others_by_path() -> None:
    ledger = Ledger()
    silent = variant("c", says=False, copied={"x": "2", "own": "3"})
    compare_cores([variant("a", file("/x", "1")), variant("b", file("/x", "1")), silent], ledger)
    (finding,) = ledger.findings
    assert finding.place == Place(reference="r:c", platform="linux/amd64", path="/x")


def test_the_tree_of_nothing_has_no_files() -> None:
    copy = LateCopy(core="builder", layer=0, sources=("/x",), destination="/x")
    assert core_files(copy, (), Tree()) == ()

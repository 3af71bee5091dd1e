"""File systems of images that share layers: each made once, and right."""

from __future__ import annotations

from buildonce.assemble.archive import Layer, scan_layer
from buildonce.assemble.tree import apply_layers
from buildonce.oci import Digest
from buildonce.verify.trees import Clash, walk_trees
from tests.assemble.archives import make_tar, member


def layer(*names: str, link: str = "") -> Layer:
    import io
    import tarfile

    members = [member(name, tarfile.LNKTYPE if link else tarfile.REGTYPE, link=link) for name in names]
    return scan_layer(io.BytesIO(make_tar(members)))


LAYERS = {Digest(name): layer(name) for name in "abcde"} | {
    Digest("gone"): layer(".wh.a"),
    Digest("bad"): layer("x", link="nothing"),
}
IMAGES = ["abc", "abd", "a", "ab", "", "cab", "aab", "abcde"]


def test_every_image_has_the_tree_of_its_layers() -> None:
    images = [(name, [Digest(one) for one in name]) for name in IMAGES] + [
        ("whiteout", [*map(Digest, "ab"), Digest("gone")])
    ]
    found = dict(walk_trees(images, LAYERS))
    assert sorted(found) == sorted([*IMAGES, "whiteout"])
    for name, digests in images:
        trees = found[name]
        assert not isinstance(trees, Clash)
        assert len(trees) == len(digests) + 1
        for number, tree in enumerate(trees):
            assert dict(tree) == dict(apply_layers([LAYERS[one].entries for one in digests[:number]]))


def test_a_layer_that_cannot_be_applied_stops_its_image_alone() -> None:
    images = [("good", [Digest("a"), Digest("b")]), ("bad", [Digest("a"), Digest("bad"), Digest("b")])]
    found = dict(walk_trees(images, LAYERS))
    clash = found["bad"]
    assert isinstance(clash, Clash)
    assert clash.number == 1
    assert not isinstance(found["good"], Clash)

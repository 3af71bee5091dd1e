"""Where annotations go. That these are the places where buildx puts them is shown with a real one."""

from __future__ import annotations

import pytest

from buildonce.errors import UsageError
from buildonce.oci import parse_platform
from buildonce.ship.annotations import INDEX, MANIFEST, annotations_for, parse_annotation

AMD64, ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")
MANY = {"a": "1", "index:b": "2", "manifest[linux/arm64]:c": "3", "index,manifest:d": "4"}


def test_each_goes_to_its_places_sorted() -> None:
    assert list(annotations_for(MANY, INDEX).items()) == [("b", "2"), ("d", "4")]
    assert list(annotations_for(MANY, MANIFEST, AMD64).items()) == [("a", "1"), ("d", "4")]
    assert list(annotations_for(MANY, MANIFEST, ARM64)) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("index-descriptor:a", "is for a descriptor"),
        ("manifest-descriptor[linux/amd64]:a", "is for a descriptor"),
        ("index[linux/amd64]:a", "names one platform of an index"),
        ("index:", "has no key"),
        ("manifests:x", "is for `manifests`, which is no place"),
        ("manifest[linux/amd64,linux/arm64]:x", "is for `manifest[linux/amd64`, which is no place"),
        ("manifest[amd64/]:a", "amd64/"),
    ],
)
def test_a_place_that_cannot_be_is_an_error(key: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("[", r"\[")):
        parse_annotation(key, "x")

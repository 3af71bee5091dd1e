"""Two images held against each other: every entry of their trees, their configs, and the bytes of their layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

from tests.e2e.images import Image, Json
from tests.e2e.trees import Node, Tree, build_tree

_MISSING = "nothing"
_FACTS = tuple(field.name for field in fields(Node) if field.name != "mtime")


def image_differences(expected: Image, actual: Image) -> list[str]:
    """Return where two images differ in anything but times: trees, configs, manifests.

    That leaves out exactly what the three documented deviations are: times, ``created``, compressed bytes.
    """
    return [
        *tree_differences(build_tree(expected.layers), build_tree(actual.layers)),
        *_differences("config", _timeless(expected.config), _timeless(actual.config)),
        *_differences("manifest", _structure(expected.manifest), _structure(actual.manifest)),
    ]


def tree_differences(expected: Tree, actual: Tree) -> list[str]:
    """Return where two trees differ in anything but times."""
    found = []
    for path in sorted(expected.keys() | actual.keys()):
        one, other = expected.get(path), actual.get(path)
        if one is None or other is None:
            found.append(f"/{path}: {_kind(other)} instead of {_kind(one)}")
            continue
        for name in _FACTS:
            left, right = getattr(one, name), getattr(other, name)
            if left != right:
                found.append(f"/{path}: {name} is {right!r}, expected {left!r}")
    return found


def archive_differences(expected: Image, actual: Image) -> list[str]:
    """Return the layers, by number, whose archives differ in a byte that is no time: order, names, padding and all."""
    pairs = zip(expected.layers, actual.layers, strict=True)
    return [f"layer {number}" for number, (one, other) in enumerate(pairs) if one.timeless != other.timeless]


def time_differences(expected: Image, actual: Image) -> set[str]:
    """Return the paths whose times differ, of those that both images have."""
    one, other = build_tree(expected.layers), build_tree(actual.layers)
    return {f"/{path}" for path in one.keys() & other.keys() if one[path].mtime != other[path].mtime}


def touched_directories(image: Image) -> set[str]:
    """Return the directories that a layer creates, or whose names it changes: writing to a directory sets its time.

    A directory that a layer lists only as a parent of something deeper is none of them.
    """
    touched: set[str] = set()
    below: set[str] = set()
    for layer in image.layers:
        for entry in layer.entries:
            folder, _, name = entry.path.rpartition("/")
            if name.startswith(".wh."):
                touched.add(f"/{folder}")
            elif entry.path not in below:
                touched |= {f"/{folder}"} | ({f"/{entry.path}"} if entry.kind == "5" else set())
        below |= {entry.path for entry in layer.entries}
    return touched


def run_paths(image: Image) -> set[str]:
    """Return what layers of RUN instructions hold: a RUN can have run once for each of two images, at two times."""
    makers = [entry["created_by"] for entry in image.config["history"] if not entry.get("empty_layer")]
    pairs = zip(makers, image.layers, strict=True)
    return {f"/{entry.path}" for maker, layer in pairs if maker.startswith("RUN ") for entry in layer.entries}


def _timeless(config: Json) -> Json:
    history = [_entry(entry) for entry in config.get("history", ())]
    rootfs = {k: v for k, v in config["rootfs"].items() if k != "diff_ids"}
    rest = {k: v for k, v in config.items() if k not in ("created", "history", "rootfs")}
    return rest | {"history": history, "rootfs": rootfs, "number of layers": len(config["rootfs"]["diff_ids"])}


def _entry(entry: Json) -> Json:
    """Return an entry of the history without its time.

    How a HEALTHCHECK is spelt there depends on the version of BuildKit (`%q` of a pointer once, `%+v` today); what it
    means is compared in the config itself.
    """
    spelt = entry.get("created_by", "").startswith(("HEALTHCHECK &{[", "HEALTHCHECK {Test:["))
    return {k: v for k, v in entry.items() if k != "created"} | ({"created_by": "HEALTHCHECK"} if spelt else {})


def _structure(manifest: Json) -> Json:
    """Return a manifest without what follows from its content's bytes."""

    def plain(descriptor: Json) -> Json:
        return {k: v for k, v in descriptor.items() if k not in ("digest", "size")}

    return {
        **manifest,
        "config": plain(manifest["config"]),
        "layers": [plain(layer) for layer in manifest["layers"]],
    }


def _differences(path: str, expected: object, actual: object) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in sorted(expected.keys() | actual.keys()):
            yield from _differences(f"{path}.{key}", expected.get(key, _MISSING), actual.get(key, _MISSING))
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _differences(f"{path}[{number}]", one, other)
    elif expected != actual or type(expected) is not type(actual):
        yield f"{path}: {actual!r}, expected {expected!r}"


def _kind(node: Node | None) -> str:
    return _MISSING if node is None else f"an entry of kind {node.kind}"


def render(differences: Iterable[str], limit: int = 20) -> str:
    """Return differences as text for a failed assertion."""
    lines = list(differences)
    return "\n".join([*lines[:limit], *([f"and {len(lines) - limit} more"] if len(lines) > limit else [])])

"""What a local engine is given: an archive that holds what it lacks, and all of it where that was not enough."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from buildonce.engines.local_images import LocalImages
from buildonce.errors import EngineFailed, EngineUnavailable, NotInStore
from buildonce.events import Event
from buildonce.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Digest, Manifest, digest_of, encode_json
from buildonce.run.local_loading import AskedAhead, Loadable, load_images, local_names
from buildonce.store.layout import LayoutStore
from buildonce.store.streams import blob_of_bytes

LAYERS = (b"base", b"core", b"core")


class Engine:
    """An engine that has some layers, and says of archives what it was told to."""

    def __init__(self, layers: Sequence[bytes] = (), answers: Sequence[bool] = (True,)) -> None:
        self.has = frozenset(digest_of(layer) for layer in layers)
        self.answers = list(answers)
        self.loaded: list[dict[str, bytes]] = []

    async def layers(self, name: str) -> frozenset[Digest]:
        assert name == "app:v1"
        return self.has

    async def load(self, archive: Path) -> bool:
        with tarfile.open(archive) as tar:
            files = ((member, tar.extractfile(member)) for member in tar)
            self.loaded.append({member.name: file.read() for member, file in files if file})
        return self.answers.pop(0)


@pytest.fixture
async def image(tmp_path: Path) -> Loadable:
    store = LayoutStore(tmp_path / "layout")
    layers = [blob_of_bytes(layer, OCI_LAYER) for layer in LAYERS]
    config = blob_of_bytes(
        json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in LAYERS]}}).encode(), OCI_CONFIG
    )
    for blob in (config, *layers):
        await store.put_blob(blob)
    manifest = Manifest(
        media_type=OCI_MANIFEST, config=config.descriptor, layers=tuple(blob.descriptor for blob in layers)
    )
    digest = await store.put_manifest(encode_json(manifest), OCI_MANIFEST)
    return Loadable(source=store, digest=digest, names=("app:v1", "registry.example:5000/acme/app:v2"))


def name_of(content: bytes) -> str:
    return f"blobs/{digest_of(content).replace(':', '/')}"


async def test_an_archive_is_a_layout_and_what_docker_saves(image: Loadable) -> None:
    engine = Engine()
    events: list[Event] = []
    await load_images([image], engine, events.append)
    (files,) = engine.loaded
    assert {files[name_of(layer)] for layer in LAYERS} == set(LAYERS)
    assert len(files) == 2 + 3 + 2
    index = json.loads(files["index.json"])
    assert [one["digest"] for one in index["manifests"]] == [image.digest] * 2
    assert [one["annotations"]["io.containerd.image.name"] for one in index["manifests"]] == [
        "docker.io/library/app:v1",
        "registry.example:5000/acme/app:v2",
    ]
    (saved,) = json.loads(files["manifest.json"])
    assert saved["RepoTags"] == list(image.names)
    assert [files[name] for name in saved["Layers"]] == list(LAYERS)
    assert json.loads(files[saved["Config"]])["rootfs"]["type"] == "layers"
    assert len(events) == 2


async def test_layers_that_the_engine_has_are_left_out(image: Loadable) -> None:
    engine = Engine(layers=(b"base", b"other"))
    await load_images([image], engine, lambda _: None)
    (files,) = engine.loaded
    assert name_of(b"base") not in files
    assert files[name_of(b"core")] == b"core"


async def test_an_engine_that_lacks_what_it_seemed_to_have_gets_everything(image: Loadable) -> None:
    engine = Engine(layers=(b"base",), answers=(False, True))
    await load_images([image], engine, lambda _: None)
    assert name_of(b"base") not in engine.loaded[0]
    assert name_of(b"base") in engine.loaded[1]


@pytest.mark.parametrize(("layers", "times"), [((b"base",), 2), ((), 1)])
async def test_an_image_that_is_never_unpacked_is_an_error(
    image: Loadable, layers: tuple[bytes, ...], times: int
) -> None:
    engine = Engine(layers=layers, answers=(False,) * times)
    with pytest.raises(EngineFailed, match="docker loaded app:v1, and cannot unpack it"):
        await load_images([image], engine, lambda _: None)
    assert len(engine.loaded) == times


async def test_an_image_that_is_not_there_is_an_error(image: Loadable) -> None:
    missing = Loadable(source=image.source, digest=digest_of(b"nothing"), names=("app:v1",))
    with pytest.raises(NotInStore):
        await load_images([missing], Engine(), lambda _: None)


@pytest.mark.parametrize(
    ("target", "folder", "names"),
    [
        ("registry.example/acme/app", "x", ("registry.example/acme/app:a", "registry.example/acme/app:b")),
        ("oci:out", "My Project_2", ("my-project-2:a", "my-project-2:b")),
        ("oci:out", "…", ("image:a", "image:b")),
    ],
)
def test_names_are_those_of_the_repository_or_the_folder(
    target: str, folder: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    assert local_names(target, tmp_path / folder, ("a", "b")) == names


DOCKER = """\
#!/bin/sh
case "$1" in
image) echo '{answer}'; exit {status} ;;
load) printf '{answer}\\n'; exit {status} ;;
esac
"""


@pytest.mark.parametrize(
    ("answer", "status", "layers", "loads"),
    [
        (f'["{digest_of(b"x")}"]', 0, {digest_of(b"x")}, True),
        ("Loaded image: app:v1", 0, set(), True),
        ("Loaded image: app:v1\\nError unpacking image", 0, set(), False),
        ("The image app:v1 already exists, renaming the old one\\nLoaded image: app:v1", 0, set(), True),
        ("null", 0, set(), True),
    ],
)
async def test_what_docker_says_is_understood(
    tmp_path: Path, answer: str, status: int, layers: set[str], loads: bool
) -> None:
    program = tmp_path / "docker"
    program.write_text(DOCKER.format(answer=answer, status=status))
    program.chmod(0o755)
    engine = LocalImages(environment={"PATH": str(tmp_path)})
    assert await engine.layers("app:v1") == layers
    assert await engine.load(tmp_path / "archive") is loads


async def test_a_docker_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text(DOCKER.format(answer="Cannot connect to the Docker daemon", status=1))
    program.chmod(0o755)
    engine = LocalImages(environment={"PATH": str(tmp_path)})
    assert await engine.layers("app:v1") == frozenset()
    with pytest.raises(EngineFailed, match="Cannot connect to the Docker daemon"):
        await engine.load(tmp_path / "archive")


async def test_no_docker_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="there is no `docker` command"):
        await LocalImages(environment={"PATH": str(tmp_path)}).load(tmp_path / "archive")


async def test_an_engine_that_was_asked_ahead_is_asked_once() -> None:
    class Counting(Engine):
        asked = 0

        async def layers(self, name: str) -> frozenset[Digest]:
            self.asked += 1
            return await super().layers(name)

    engine = Counting([b"a"])
    ahead = AskedAhead(engine, ("app:v1", "app:v1"))
    assert await ahead.layers("app:v1") == engine.has
    assert engine.asked == 1
    assert await ahead.layers("app:v1") == engine.has
    assert engine.asked == 2

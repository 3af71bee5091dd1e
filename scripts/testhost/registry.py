"""The local registry: its configuration, and as much of its protocol as filling it takes. [io]"""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

from . import layout
from .errors import HostError

SECONDS = 60


def render_configuration(storage: Path, address: str) -> str:
    """Return the registry's configuration; JSON is YAML."""
    settings = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": True},
            # Without this, every blob that is read is looked up on the disk twice.
            "cache": {"blobdescriptor": "inmemory"},
        },
        "http": {"addr": address},
    }
    return json.dumps(settings, indent=2) + "\n"


class Client:
    """One connection to a registry that asks for no credentials."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection = http.client.HTTPConnection(address, timeout=SECONDS)

    def is_ready(self) -> bool:
        """Whether the registry answers."""
        try:
            return self._request("GET", "/v2/").status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False

    def await_ready(self, *, seconds: float) -> bool:
        """Wait until the registry answers; False if it does not in time."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def tag_digest(self, repository: str, tag: str) -> str | None:
        """Return the digest of the manifest under a tag, or None if there is no such tag."""
        answer = self._request("HEAD", f"/v2/{repository}/manifests/{tag}", accept=layout.INDEX)
        return answer.headers["Docker-Content-Digest"] if answer.status == http.HTTPStatus.OK else None

    def push_index(self, source: Path, digest: str, repository: str, tag: str) -> None:
        """Push an index with all that it refers to from a layout; blobs first, so that nothing is ever incomplete."""
        index = layout.blob_path(source, digest).read_bytes()
        for image in json.loads(index)["manifests"]:
            manifest = layout.blob_path(source, image["digest"]).read_bytes()
            content = json.loads(manifest)
            for blob in (content["config"], *content["layers"]):
                self._push_blob(source, blob["digest"], repository)
            self._put_manifest(repository, image["digest"], manifest, layout.MANIFEST)
        self._put_manifest(repository, tag, index, layout.INDEX)

    def _push_blob(self, source: Path, digest: str, repository: str) -> None:
        if self._request("HEAD", f"/v2/{repository}/blobs/{digest}").status == http.HTTPStatus.OK:
            return
        session = self._request("POST", f"/v2/{repository}/blobs/uploads/", expected=http.HTTPStatus.ACCEPTED)
        path = session.headers["Location"].removeprefix(f"http://{self._address}")
        path += ("&" if "?" in path else "?") + f"digest={digest}"
        blob = layout.blob_path(source, digest)
        with blob.open("rb") as body:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.stat().st_size)}
            self._connection.request("PUT", path, body=body, headers=headers)
            self._finish(f"PUT {path}", http.HTTPStatus.CREATED)

    def _put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> None:
        path = f"/v2/{repository}/manifests/{reference}"
        self._connection.request("PUT", path, body=content, headers={"Content-Type": media_type})
        self._finish(f"PUT {path}", http.HTTPStatus.CREATED)

    def _request(
        self, method: str, path: str, *, accept: str = "*/*", expected: http.HTTPStatus | None = None
    ) -> http.client.HTTPResponse:
        self._connection.request(method, path, headers={"Accept": accept, "Content-Length": "0"})
        return self._finish(f"{method} {path}", expected)

    def _finish(self, request: str, expected: http.HTTPStatus | None) -> http.client.HTTPResponse:
        answer = self._connection.getresponse()
        body = answer.read()
        if expected is not None and answer.status != expected:
            raise HostError(
                f"the local registry refused a stand-in image ({answer.status} to {request})",
                detail=body.decode(errors="replace"),
            )
        return answer


def split_name(name: str) -> tuple[str, str]:
    """Return the repository and tag that Docker means by a short name."""
    repository, _, tag = name.partition(":")
    return f"library/{repository}", tag


def push_missing(address: str, source: Path) -> list[str]:
    """Push what the registry does not have, or has in another version, and return the names of that."""
    client = Client(address)
    pushed = []
    for name, digest in layout.named_indexes(source).items():
        repository, tag = split_name(name)
        if client.tag_digest(repository, tag) != digest:
            client.push_index(source, digest, repository, tag)
            pushed.append(name)
    return pushed

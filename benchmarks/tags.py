"""[io] What tags point to, asked of the registry itself."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping

_ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"


def index_digests(repository: str, tags: Iterable[str]) -> Mapping[str, str | None]:
    """Return the digest of the index under each tag, None where there is none; the registry speaks plain HTTP."""
    address, _, name = repository.partition("/")
    connection = http.client.HTTPConnection(address, timeout=60)
    digests = {}
    for tag in tags:
        connection.request("HEAD", f"/v2/{name}/manifests/{tag}", headers={"Accept": _ACCEPT})
        with connection.getresponse() as response:
            response.read()
            digests[tag] = (
                response.getheader("Docker-Content-Digest") if response.status == http.HTTPStatus.OK else None
            )
    connection.close()
    return digests

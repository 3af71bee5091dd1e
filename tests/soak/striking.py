"""A registry that kills its client at a request, and looks at what its tags lead to after each one."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.registry import FakeRegistry
from tests.soak.readers import Broken, Watch, check_image, check_index

TARGET = "team/app"


class StrikingRegistry(FakeRegistry):
    """``at`` is the number of the request (from 1) at which ``victim`` dies, before or after it is carried out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.victim = 0
        self.at = 0
        self.before = True
        self.number = 0
        self.watch = Watch()
        self.release: Mapping[str, str] = {}
        self.old: Mapping[str, str] = {}

    def expect(self, victim: int, at: int, *, before: bool) -> None:
        """Strike at this request of this process."""
        self.victim, self.at, self.before, self.number = victim, at, before, 0

    def snapshot(self) -> Any:
        """Return what is stored, for `restore`."""
        return copy.deepcopy(self.repositories)

    def restore(self, snapshot: Any) -> None:
        """Store what was stored."""
        self.repositories = copy.deepcopy(snapshot)
        self.log.clear()

    def tags(self) -> dict[str, str]:
        """Return where the family's tags lead; raise `Broken` if one of them leads to an incomplete release."""
        repository = self.repository(TARGET)
        tags = dict(repository.tags)
        for digest in tags.values():
            check_index(digest, self._load, self._size)
        if any(self.release.get(tag) == digest != self.old.get(tag) for tag, digest in tags.items()):
            for image in self.images:
                try:
                    check_image(image, self._load, self._size)
                except Broken as error:
                    raise Broken(f"a tag moved before the release was complete: {error}") from error
        return tags

    images: frozenset[str] = frozenset()
    """The images of the release that is to come."""

    def _load(self, digest: str) -> bytes | None:
        found = self.repository(TARGET).manifests.get(digest)
        return found[1] if found else None

    def _size(self, digest: str) -> int | None:
        found = self.repository(TARGET).blobs.get(digest)
        return None if found is None else len(found)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.number += 1
        struck = self.number == self.at and bool(self.victim)
        if struck and self.before:
            await request.read()
            os.kill(self.victim, signal.SIGKILL)
            raise ConnectionResetError
        response = await super()._handle(request)
        self.watch.look(self.tags)
        if struck:
            os.kill(self.victim, signal.SIGKILL)
        return response

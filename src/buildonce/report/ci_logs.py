"""The log of a CI job: what an engine says folded away by node, warnings and errors as the provider shows them."""

from __future__ import annotations

import os.path
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from buildonce.errors import DockerfileError, EngineFailed, Error
from buildonce.events import EngineLine, Event, Finished, Started, Warned
from buildonce.report.progress import LineProgress

SETTING = "BUILDONCE_CI"
OFF = "off"
_KEPT = 20_000
"""How many lines of an engine wait while another one's are shown; of more, the first are left out."""


class Provider(Enum):
    """Whose log it is."""

    GITHUB = "github"
    GITLAB = "gitlab"


def find_provider(environment: Mapping[str, str]) -> Provider | None:
    """Return the provider that a job runs at; None for a terminal, and where ``BUILDONCE_CI=off``."""
    if environment.get(SETTING) == OFF:
        return None
    if environment.get("GITHUB_ACTIONS") == "true":
        return Provider.GITHUB
    return Provider.GITLAB if environment.get("GITLAB_CI") == "true" else None


@dataclass(slots=True)
class _Block:
    """What an engine says of one node, its end once there is one."""

    node: str
    title: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))
    is_open: bool = False
    end: str | None = None


class FoldedProgress:
    """Writes events as lines; what engines say of a node stands together, and folds.

    The first engine's lines are written as they come; those of others, and what else happens, wait until it has ended:
    a log has one end. ``token`` is a text that no engine knows, ``clock`` gives seconds since 1970.
    """

    def __init__(
        self, write: Callable[[str], None], provider: Provider, *, token: str, clock: Callable[[], float]
    ) -> None:
        self._write = write
        self._folds = _GithubFolds(token) if provider is Provider.GITHUB else _GitlabFolds(clock)
        self._is_github = provider is Provider.GITHUB
        self._said: list[str] = []
        self._plain = LineProgress(self._said.append, verbose=True)
        self._queue: deque[str | _Block] = deque()

    def __call__(self, event: Event) -> None:
        match event:
            case EngineLine(node=node, text=text):
                self._block(node).lines.append(text)
            case Started(activity=activity, node=node) if activity.runs_engine:
                self._queue.append(_Block(node=node, title=self._line(event)))
            case Finished(activity=activity, node=node) if activity.runs_engine:
                self._block(node).end = self._line(event)
            case Warned(message=message) if self._is_github:
                self._queue.append(command("warning", message))
            case _:
                self._queue.append(self._line(event))
        self._pump()

    def close(self) -> None:
        """Write what still waits: of work that did not end, that it did not."""
        for item in self._queue:
            if isinstance(item, _Block) and item.end is None:
                item.end = f"{item.node} did not end"
        self._pump()

    def _line(self, event: Event) -> str:
        self._plain(event)
        return self._said.pop()

    def _block(self, node: str) -> _Block:
        found = [one for one in self._queue if isinstance(one, _Block) and one.node == node and one.end is None]
        if found:
            return found[0]
        block = _Block(node=node, title=node)
        self._queue.append(block)
        return block

    def _pump(self) -> None:
        while self._queue:
            item = self._queue[0]
            if isinstance(item, str):
                self._write(item)
            elif not self._show(item):
                return
            self._queue.popleft()

    def _show(self, block: _Block) -> bool:
        """Write what there is of a block; say whether it has ended."""
        if not block.is_open:
            block.is_open = True
            for line in self._folds.open(block.title):
                self._write(line)
        while block.lines:
            self._write(f"  [{block.node}] {block.lines.popleft()}")
        if block.end is None:
            return False
        for line in self._folds.close():
            self._write(line)
        self._write(block.end)
        return True


class _GithubFolds:
    """Groups, in which nothing that an engine says is taken for a command."""

    def __init__(self, token: str) -> None:
        self._token = token

    def open(self, title: str) -> Iterator[str]:
        yield f"::group::{_data(title)}"
        yield f"::stop-commands::{self._token}"

    def close(self) -> Iterator[str]:
        yield f"::{self._token}::"
        yield "::endgroup::"


class _GitlabFolds:
    """Sections, folded from the start."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._number = 0

    def open(self, title: str) -> Iterator[str]:
        self._number += 1
        yield f"\x1b[0Ksection_start:{int(self._clock())}:buildonce_{self._number}[collapsed=true]\r\x1b[0K{title}"

    def close(self) -> Iterator[str]:
        yield f"\x1b[0Ksection_end:{int(self._clock())}:buildonce_{self._number}\r\x1b[0K"


def command(name: str, message: str, **properties: object) -> str:
    """Return a workflow command of GitHub's: ``::error file=Dockerfile,line=3::message``."""
    told = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value)
    return f"::{name}{' ' if told else ''}{told}::{_data(message)}"


def annotate_error(error: Error, *, root: str) -> Iterator[str]:
    """Yield GitHub's commands that show an error at its places; ``root`` is the folder that paths are shown from."""
    if isinstance(error, DockerfileError) and (found := getattr(error, "diagnostics", ())):
        for one in found:
            message = "\n".join((one.message, *one.notes, *((one.help,) if one.help else ())))
            place = {"file": _from(root, one.path), "line": one.line, "col": one.column}
            yield command("error", message, **place, title=one.code)
        return
    where = {}
    if isinstance(error, EngineFailed) and error.place:
        path, line = error.place
        where = {"file": _from(root, path), "line": line}
    yield command("error", error.message, **where, title=error.code)


def _from(root: str, path: str) -> str:
    """Return a path as it is seen from the checkout's root; one outside as it is."""
    relative = os.path.relpath(path, root) if root else path
    return path if relative.startswith("..") else relative


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

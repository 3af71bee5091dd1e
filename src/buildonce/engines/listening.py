"""What an engine says while it builds, handed on line by line; which lines are of the Dockerfile's own steps. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from buildonce.engines.last_lines import LastLines
from buildonce.engines.protocol import BuildJob
from buildonce.events import Emit, EngineLine
from buildonce.plan.secrecy import hide_credentials, looks_secret

_COMMAND = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~])|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
"""Commands to a terminal (ECMA-48, 5.4 and 5.6), and other control characters than tabs."""

_HIDDEN = "***"
_SHORTEST = 4

_BUILDKIT_STEP = re.compile(r"#(\d+) \[(?:[^\]]* )?\d+/\d+\] (?!FROM )")
_BUILDKIT_STATE = re.compile(r"#\d+ (?:DONE [\d.]+s|CACHED|\.\.\.|sha256:\S+ .*)$")
_BUILDKIT_STAMP = re.compile(r"#\d+ \d+\.\d+ ")
_BUILDAH_STEP = re.compile(r"(?:\[\d+/\d+\] )?STEP \d+/\d+: (?:RUN|COPY|ADD)\b", re.IGNORECASE)
_BUILDAH_OWN = re.compile(
    r"(?:\[\d+/\d+\] )?(?:STEP \d+/\d+: |COMMIT\b|-->)|[0-9a-f]{64}$"
    r"|Trying to pull |Getting image source signatures|Copying (?:blob|config) |Writing manifest |Storing signatures"
    r'|time="[^"]*" level=warning '
)


def visible(line: str) -> str:
    """Return what a terminal would show of a line: what was written last where a carriage return went back.

    What BuildKit puts before the line of a command stays before it.
    """
    _, back, last = line.rstrip("\r\n").rpartition("\r")
    stamp = _BUILDKIT_STAMP.match(line) if back else None
    return _COMMAND.sub("", f"{stamp[0] if stamp else ''}{last}").rstrip()


class BuildkitDetails:
    """Says of each line of BuildKit's plain progress whether it is a detail: not of a step, nor said by its command."""

    def __init__(self) -> None:
        self._steps: set[str] = set()

    def __call__(self, line: str) -> bool:
        if step := _BUILDKIT_STEP.match(line):
            self._steps.add(step[1])
            return False
        number = re.match(r"#(\d+) ", line)
        return number is None or number[1] not in self._steps or _BUILDKIT_STATE.match(line) is not None


def is_buildah_own(line: str) -> bool:
    """Say whether Buildah says a line of itself, as it goes on, and not a command."""
    return _BUILDAH_OWN.match(line) is not None


def is_buildah_detail(line: str) -> bool:
    """Say whether a line is Buildah's own, and not that of a step which makes files."""
    return is_buildah_own(line) and _BUILDAH_STEP.match(line) is None


def secret_values(build_args: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of build arguments whose names say that they are secrets; very short ones are none."""
    for name, value in build_args.items():
        if looks_secret(name):
            yield from (line for line in value.splitlines() if len(line) >= _SHORTEST)


class Listener:
    """Hands the lines of a build on as events, and keeps the last ones.

    Engines name steps with the values of arguments in them: values that look secret are not handed on.
    """

    def __init__(
        self, job: BuildJob, emit: Emit, is_detail: Callable[[str], bool], *, noise: re.Pattern[str] | None = None
    ) -> None:
        self.last = LastLines(noise)
        # The longest first: one may begin another.
        self._secrets = tuple(sorted(secret_values(job.build_args), key=len, reverse=True))
        self._node = job.node
        self._emit = emit
        self._is_detail = is_detail

    def __call__(self, line: str) -> None:
        """Hear a line; blank ones mean nothing."""
        if text := visible(line):
            for secret in self._secrets:
                text = text.replace(secret, _HIDDEN)
            text = hide_credentials(text)
            is_detail = not self.last.add(text) or self._is_detail(text)
            self._emit(EngineLine(node=self._node, text=text, is_detail=is_detail))

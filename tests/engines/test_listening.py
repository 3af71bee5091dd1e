"""What is handed on of an engine's output: plain lines, and which of them are details."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.engines.listening import BuildkitDetails, Listener, is_buildah_detail, visible
from buildonce.events import EngineLine, Event
from tests.engines.jobs import make_job

BUILDKIT = """\
#0 building with "default" instance using docker driver
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#3 [context busybox:1.36-glibc] docker.io/library/busybox@sha256:999d
#3 CACHED
#2 [builder 1/4] FROM docker.io/library/busybox@sha256:999d
#2 sha256:8071 0B / 2.1MB 0.2s
=#5 [builder 2/4] COPY src /src
#5 ...
#5 CACHED
=#6 [linux/arm64 builder 3/4] RUN make
#6 ...
=#6 0.155 compiling 1
=#6 0.155 [internal] affairs
=#6 1.064 cp: can't stat '/nosrc': No such file or directory
=#6 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 1
=#7 [2/3] RUN true
#7 DONE 1.1s
#8 exporting to oci image format
#8 exporting layers 0.0s done
------
Dockerfile:4
"""

BUILDAH = """\
[1/2] STEP 1/3: FROM docker.io/library/busybox:1.36-glibc AS builder
Trying to pull docker.io/library/busybox:1.36-glibc...
Getting image source signatures
Copying blob sha256:8071f7e551c4
Copying config sha256:a23c377758b9
Writing manifest to image destination
[1/2] STEP 2/3: ARG WHAT=a
--> 52d2a0a1b3f8
time="2026-11-30T17:13:01Z" level=warning msg="Using cgroups-v1 which is deprecated"
=time="2026-11-30T17:13:01Z" level=error msg="something"
=[1/2] STEP 3/3: RUN make
=compiling 1
=[2/2] STEP 2/2: copy --from=builder /a /a
--> Using cache 8071f7e551c4a48453d1c590fa93aa602b914b87562b6966c50029c13c897e3e
[2/2] COMMIT
8071f7e551c4a48453d1c590fa93aa602b914b87562b6966c50029c13c897e3e
=STEP 2/2: ADD a /a
=subprocess exited with status 1
=Error: building at STEP "RUN make": exit status 1
"""


def test_what_buildkit_does_in_steps_and_what_they_say_is_no_detail() -> None:
    is_detail = BuildkitDetails()
    shown = [line.removeprefix("=") for line in BUILDKIT.splitlines() if line.startswith("=")]
    assert [line for line in (one.removeprefix("=") for one in BUILDKIT.splitlines()) if not is_detail(line)] == shown


@pytest.mark.parametrize("line", BUILDAH.splitlines())
def test_what_buildah_does_in_steps_and_what_they_say_is_no_detail(line: str) -> None:
    assert is_buildah_detail(line.removeprefix("=")) is not line.startswith("=")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("plain\ttext  ", "plain\ttext"),
        (" 10%\r 20%\r100%\r", "100%"),
        ("#7 0.123  10%\r 20%\r100%", "#7 0.123 100%"),
        ("\x1b[1m\x1b[31merror\x1b[0m: no", "error: no"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b(Bbell\x07", "bell"),
        ("äö — 漢", "äö — 漢"),
    ],
)
def test_a_line_is_what_a_terminal_shows_and_commands_it_nothing(line: str, text: str) -> None:
    assert visible(line) == text


def test_noise_is_a_detail(tmp_path: Path) -> None:
    events: list[Event] = []
    listener = Listener(make_job(tmp_path), events.append, lambda _: False, noise=re.compile("broken pipe"))
    for line in ("write: broken pipe", "made it"):
        listener(line)
    assert [event.is_detail for event in events if isinstance(event, EngineLine)] == [True, False]


def test_lines_become_events_and_the_last_are_kept(tmp_path: Path) -> None:
    events: list[Event] = []
    listener = Listener(make_job(tmp_path), events.append, is_buildah_detail)
    for line in ("STEP 1/2: FROM scratch", "\x1b[0m", "made \x1b[1mit"):
        listener(line)
    assert events == [
        EngineLine(node="builder linux/amd64", text="STEP 1/2: FROM scratch", is_detail=True),
        EngineLine(node="builder linux/amd64", text="made it"),
    ]
    assert listener.last.lines == ("STEP 1/2: FROM scratch", "made it")


def test_values_that_look_secret_are_not_handed_on(tmp_path: Path) -> None:
    events: list[Event] = []
    build_args = {"NPM_TOKEN": "s3cret", "SSH_KEY": "first line\nsecond line", "PIN_PASSWORD": "1", "MODE": "release"}
    listener = Listener(replace(make_job(tmp_path), build_args=build_args), events.append, lambda _: False)
    for line in ("#4 [1/2] RUN npm login s3cret 1 release", "-- second line --"):
        listener(line)
    assert listener.last.lines == ("#4 [1/2] RUN npm login *** 1 release", "-- *** --")
    assert [event.text for event in events if isinstance(event, EngineLine)] == list(listener.last.lines)

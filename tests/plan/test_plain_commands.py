"""Which RUN instructions do the same whatever is in the files that are copied before them."""

from __future__ import annotations

import pytest

from buildonce.dockerfile.evaluation import Step
from buildonce.plan.plain_commands import depend_on_names_alone, plain_programs
from tests.plan.projects import image_of, plan_of

HEAD = "FROM gcc AS builder\nRUN make\nFROM debian AS app\nCOPY --from=builder /out/tool /opt/tool\n"


def steps_of(lines: str) -> list[Step]:
    return [step.step for step in image_of(plan_of(f"{HEAD}{lines}\n"), "app").tail]


PLAIN = {
    "mkdir and chown": ("RUN mkdir -p ~/.x && chown -R a:a ~/.x", {"sh", "mkdir", "chown"}),
    "a variable for one command": ("RUN A=1 mkdir /x; touch /y > /z 2>&1", {"sh", "mkdir", "touch"}),
    "a loop": ("RUN for i in a b; do mkdir /x/$i; done", {"sh", "mkdir"}),
    "a question": ("RUN if [ ! -d /x ]; then mkdir /x; fi", {"sh", "[", "mkdir"}),
    "quotes": ("RUN echo 'a; make' \"b\" > /x # make", {"sh", "echo"}),
    "a subshell": ("RUN (umask 077; mkdir /x)", {"sh", "umask", "mkdir"}),
    "no shell": ('RUN ["/bin/mkdir", "/x"]', {"mkdir"}),
    "another shell": ('SHELL ["/bin/bash", "-euxo", "pipefail", "-c"]\nRUN mkdir /x', {"bash", "mkdir"}),
    "directories": ("RUN install -d -m 1777 /x", {"sh", "install"}),
    "an account by a known variable": ("ARG WHO=me\nRUN useradd -m $WHO", {"sh", "useradd"}),
}

NOT_PLAIN = {
    "a package manager": "RUN apt-get update",
    "a script": "RUN /setup.sh",
    "a program's output": "RUN mkdir $(make where)",
    "a program's output, in backticks": "RUN mkdir `make where`",
    "input": "RUN mkdir /x < /y",
    "a here-document": "RUN <<EOF\nmkdir /x\nEOF",
    "a size": "RUN [ -s /x ] || mkdir /x",
    "an age": "RUN test /x -nt /y || mkdir /x",
    "a copy": "RUN install -m 1777 a /x",
    "something that can be anywhere": "RUN rm -rf $CACHE",
    "another search path": "RUN PATH=/x mkdir /y",
    "a library put in front": "ENV LD_PRELOAD=/x.so\nRUN mkdir /y",
    "a function": "RUN f() { make; }; f",
    "a text that is run": "RUN eval 'mkdir /x'",
    "a file that is run": "RUN . /x",
    "a shell within": "RUN sh -c 'mkdir /x'",
    "a shell that reads its profile": 'SHELL ["/bin/bash", "-lc"]\nRUN mkdir /x',
    "a shell that is none": 'SHELL ["/usr/bin/python3", "-c"]\nRUN mkdir',
    "a file that every shell runs": "ENV BASH_ENV=/x\nRUN mkdir /y",
    "an open quote": 'RUN mkdir "/x',
    "a case": "RUN case $A in b) mkdir /x ;; esac",
    "a program of that name elsewhere": "RUN /opt/bin/mkdir /x",
}


@pytest.mark.parametrize(("lines", "programs"), PLAIN.values(), ids=PLAIN)
def test_a_plain_command_is_known_as_one(lines: str, programs: set[str]) -> None:
    assert plain_programs(steps_of(lines)[-1]) == frozenset(programs)
    assert depend_on_names_alone(steps_of(lines), ["/opt/tool"])


@pytest.mark.parametrize("lines", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_may_read_any_file_is_not_plain(lines: str) -> None:
    assert plain_programs(steps_of(lines)[-1]) is None
    assert not depend_on_names_alone(steps_of(lines), ["/opt/tool"])


@pytest.mark.parametrize("path", ["/usr/local/bin/mkdir", "/bin/sh", "/etc/passwd", "/usr/lib/libc.so.6", "/opt/x.so"])
def test_a_plain_command_depends_on_its_own_program_settings_and_libraries(path: str) -> None:
    assert not depend_on_names_alone(steps_of("RUN mkdir /x"), ["/opt/tool", path])
    assert depend_on_names_alone(steps_of("WORKDIR /x\nADD x.tar /y"), ["/opt/tool", path])

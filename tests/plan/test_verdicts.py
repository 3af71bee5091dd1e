"""Verdicts as far as a Dockerfile's text tells."""

from __future__ import annotations

import pytest

from buildonce.plan.verdicts import VerdictKind
from tests.plan.projects import FakeImages, image_of, plan_of

HEAD = "FROM gcc AS builder\nRUN make\nFROM debian AS app\nRUN useradd agent\n"
COPY = "COPY --from=builder /out/tool /usr/local/bin/tool\n"

ASSEMBLED = {
    "nothing": "",
    "metadata": 'ENV A=1\nUSER agent\nLABEL a=b\nENTRYPOINT ["tool"]\nCMD ["x"]\n',
    "WORKDIR": "WORKDIR /data\n",
    "a file of the context": "COPY entrypoint.sh /\n",
}
PROVED = {
    "mkdir": "RUN mkdir -p /home/agent/.x && chown -R agent /home/agent/.x\n",
    "apt-get": "RUN apt-get update && apt-get install -y git\n",
    "a word that holds the name": "RUN echo toolbox > /etc/motd\n",
    "a directory of that name": "RUN mkdir /tool\n",
    "a path beside it": "RUN touch /usr/local/bin/other\n",
    "an image's files": "COPY --from=uv /uv /bin/\n",
    "a file given in place": "COPY <<EOF /etc/x\nx\nEOF\n",
    "ADD": "ADD x.tar /opt/\n",
    "ldconfig": "RUN ldconfig\n",
    "a symbolic link to it": "RUN ln -s /usr/local/bin/tool /usr/bin/t\n",
    "a user of that name": "RUN addgroup tool && adduser -S -G tool tool && chown tool /srv\n",
    "a text with that name": "RUN echo tool > /etc/motd\n",
    "a variable that may be anything": "RUN rm -rf $CACHE && mkdir -p $HOME/.x && touch ~/.x/y\n",
    "an option that has no path": "RUN apt-get install -y -otool git\n",
    "a link from a variable's directory": "RUN d=/usr/bin && ln -s /usr/local/bin/tool $d/t\n",
}
BUILT = {
    "the program by name": "RUN tool --version\n",
    "the program by path": "RUN /usr/local/bin/tool --version\n",
    "the program in a list": 'RUN ["tool", "--version"]\n',
    "in a heredoc": "RUN <<EOF\nset -e\ntool --version\nEOF\n",
    "through a variable": "ENV T=/usr/local/bin/tool\nRUN $T --version\n",
    "through a variable in braces": "ENV D=/usr/local/bin\nRUN ${D}/tool --version\n",
    "a relative path": "WORKDIR /usr/local/bin\nRUN ./tool --version\n",
    "a wildcard over it": "RUN strip /usr/local/bin/*\n",
    "its directory's owner": "RUN chown -R agent /usr/local/bin\n",
    "everything's owner": "RUN chown -R agent /usr\n",
    "its mode": "RUN chmod 4755 /usr/local/bin/tool\n",
    "a test for it": "RUN test -x /usr/local/bin/tool || true\n",
    "a link in its place": "RUN ln -sf /bin/true /usr/local/bin/tool\n",
    "a hard link to it": "RUN ln /usr/local/bin/tool /usr/bin/t\n",
    "its capability": "RUN setcap cap_net_raw+ep /usr/local/bin/tool\n",
    "through a variable of the shell": "RUN d=/usr/local/bin; $d/tool --version\n",
    "through a variable of the shell that is part of a name": "RUN n=oo; /usr/local/bin/t${n}l --version\n",
    "through a variable that is computed": "RUN /usr/local/bin/$(echo tool)\n",
    "through a variable of a loop": "RUN for p in a tool; do stat /usr/local/bin/$p; done\n",
    "in the directory that it changes into": "RUN cd /usr/local && ls bin/tool\n",
    "in the directory that a shell within changes into": "RUN bash -ec 'cd /usr/local/bin && sha256sum t*l'\n",
    "with quotes inside the name": 'RUN /usr/local/bin/to"o"l --version\n',
    "with a backslash inside the name": "RUN /usr/local/bin/to\\ol --version\n",
    "as a variable's default": "RUN ${TOOL:-/usr/local/bin/tool} --version || true\n",
    "as a variable of one command": "RUN TOOL=/usr/local/bin/tool make\n",
    "in an alternative": "RUN stat /usr/local/{bin/tool,lib}\n",
    "as part of an option": "RUN tar -C/usr/local/bin/tool -cf /x .\n",
    "a wildcard over its directory": "RUN chmod -R go-w /usr/loc*\n",
    "its directory, from where it stands": "RUN cd / && chown -R agent usr\n",
    "its size": "RUN test $(stat -c %s /usr/local/bin/tool) -lt 1000000 && touch /small || true\n",
    "its version": "RUN if tool --version | grep -q 2; then touch /two; fi\n",
    "its digest": "RUN sha256sum /usr/local/bin/tool > /tool.sha256\n",
    "where it is": "RUN command -v tool > /where || true\n",
    "a mount of the stage": "RUN --mount=from=builder,source=/out,target=/o cp /o/x /x\n",
}


def verdict(tail: str, copy: str = COPY, images: FakeImages | None = None) -> tuple[VerdictKind, str]:
    found = image_of(plan_of(HEAD + copy + tail, images=images), "app").verdict
    return found.kind, found.reason


@pytest.mark.parametrize("tail", ASSEMBLED.values(), ids=ASSEMBLED)
def test_a_tail_without_an_engine_is_assembled(tail: str) -> None:
    assert verdict(tail)[0] is VerdictKind.ASSEMBLE


@pytest.mark.parametrize("tail", PROVED.values(), ids=PROVED)
def test_a_tail_that_does_not_name_the_copy_is_proven(tail: str) -> None:
    assert verdict(tail)[0] is VerdictKind.PROVE


@pytest.mark.parametrize("tail", BUILT.values(), ids=BUILT)
def test_a_tail_that_names_the_copy_is_the_engines(tail: str) -> None:
    kind, reason = verdict(tail)
    assert kind is VerdictKind.ENGINE
    assert "line" in reason or "mount" in reason


def test_what_comes_before_the_copy_does_not_count() -> None:
    text = "FROM gcc AS builder\nRUN make\nFROM debian AS app\nRUN rm -f /usr/local/bin/tool\n" + COPY
    assert image_of(plan_of(text), "app").verdict.kind is VerdictKind.ASSEMBLE


def test_triggers_of_the_base_image_are_the_engines() -> None:
    images = FakeImages(configs={"debian": {"OnBuild": ["RUN true"]}})
    kind, reason = verdict("", images=images)
    assert kind is VerdictKind.ENGINE
    assert "ONBUILD" in reason


def test_triggers_of_a_parent_stage_are_the_engines() -> None:
    text = "FROM gcc AS builder\nRUN make\nFROM debian AS parent\nONBUILD RUN true\nFROM parent AS app\n" + COPY
    verdict = image_of(plan_of(text), "app").verdict
    assert verdict.kind is VerdictKind.ENGINE
    assert "ONBUILD" in verdict.reason


IN_THE_COPIED_DIRECTORY = {
    "a program": ("RUN chmod +x /entrypoint.sh\n", VerdictKind.PROVE),
    "a program after a keyword": ("RUN if true; then ldconfig; fi\n", VerdictKind.PROVE),
    "packages": ("RUN apk add --no-cache icu-libs\n", VerdictKind.PROVE),
    "an owner": ("RUN chown app /var/log\n", VerdictKind.PROVE),
    "a text": ("RUN echo net.ipv4.ip_forward 1 >> /etc/sysctl.conf\n", VerdictKind.PROVE),
    "a text into a file there": ("RUN echo x > settings.txt\n", VerdictKind.ENGINE),
    "a script there": ("RUN ./configure\n", VerdictKind.ENGINE),
    "a file there": ("RUN pip install -r requirements.txt\n", VerdictKind.ENGINE),
    "a package from a file there": ("RUN apk add --allow-untrusted x.apk\n", VerdictKind.ENGINE),
    "a word that may be a file": ("RUN make install\n", VerdictKind.ENGINE),
    "an option of the shell": ("RUN set -eo pipefail && true\n", VerdictKind.PROVE),
    "what another program prints": ("RUN echo $(cat settings) > /x\n", VerdictKind.ENGINE),
    "what another program prints, in backticks": ("RUN apk add `cat packages`\n", VerdictKind.ENGINE),
    "all that is there": ("RUN echo * > /list\n", VerdictKind.ENGINE),
    "an owner as a file has it": ("RUN chown --reference=one two\n", VerdictKind.ENGINE),
}


@pytest.mark.parametrize(("tail", "expected"), IN_THE_COPIED_DIRECTORY.values(), ids=IN_THE_COPIED_DIRECTORY)
def test_in_the_copied_directory_a_word_counts_if_it_can_be_a_file(tail: str, expected: VerdictKind) -> None:
    assert verdict("USER root\n" + tail, "WORKDIR /app\nCOPY --from=builder /out .\n")[0] is expected


def test_an_image_under_another_name_may_be_mounted() -> None:
    text = "FROM astral/uv AS uv\nFROM debian AS app\nRUN --mount=from=uv,source=/uv,target=/bin/uv uv sync\n"
    plan = plan_of(text)
    assert (image_of(plan, "app").verdict.kind, len(plan.cores)) == (VerdictKind.ASSEMBLE, 0)


def test_the_reason_names_what_follows() -> None:
    assert verdict("ADD x.tar /opt/\n") == (VerdictKind.PROVE, "ADD follows the copied files")


def test_a_directory_that_is_named_below_is_the_engines() -> None:
    copy = "COPY --from=builder /out /opt/app\n"
    assert verdict("RUN /opt/app/bin/x --help\n", copy)[0] is VerdictKind.ENGINE

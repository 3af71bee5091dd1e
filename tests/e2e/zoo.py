"""Odd variants, each of which has caught, or could catch, an assembly out; all on one small base, from one builder."""

from __future__ import annotations

from dataclasses import dataclass

BUILDER = """\
# escape=\\
ARG BASE=busybox:1.36-glibc
FROM ${BASE} AS builder
ARG WORDS="one two"
WORKDIR /out
COPY version.txt ./
RUN printf '#!/bin/sh\\ncat /usr/local/share/version.txt\\n' > tool && chmod 0755 tool \\
 && mkdir -p lib/deep tree/sub empty && chmod 0700 tree/sub && chmod 1777 empty \\
 && cp version.txt lib/libone.so.1 && ln -s libone.so.1 lib/libone.so && ln lib/libone.so.1 lib/libone.so.1.0 \\
 && cp version.txt lib/libtwo.so && cp version.txt lib/notes.txt && cp version.txt lib/deep/libthree.so \\
 && cp version.txt tree/sub/file && ln -s /nowhere/at/all tree/dangling && ln -s sub tree/link \\
 && ln tree/sub/file tree/again && chown -R 12:34 tree/sub \\
 && cp version.txt 'a b$c' && cp version.txt 'star[1]*' && cp version.txt "$(printf 'caf\\303\\251')" \\
 && ln -s tree linked && ln -s tool run-me \\
 && printf 'root:x:0:0:root:/root:/bin/sh\\nlate:x:4321:8765::/:/bin/sh\\n' > passwd \\
 && printf 'root:x:0:\\nlate:x:8765:\\n' > group \\
 && mkdir many && for i in $(seq 600); do echo $i > many/$i; done

FROM ${BASE} AS maker
RUN echo made > /made && mkdir /special && mkfifo /special/pipe && mknod /special/null c 1 3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Animal:
    """A variant: its stages, how it must come about, and how often an engine may run for its own base and proof."""

    lines: str
    made: str = "assembled"
    verdict: str = "assemble"


ZOO: dict[str, Animal] = {
    # Where things go.
    "scratch-only": Animal(lines="FROM scratch AS scratch-only\nCOPY --from=builder /out/tool /tool"),
    "into-root": Animal(lines="FROM scratch AS into-root\nCOPY --from=builder /out/tree /"),
    "dangling": Animal(lines="FROM ${BASE} AS dangling\nCOPY --from=builder /out/tree/ /app/"),
    "wildcards": Animal(
        lines="FROM ${BASE} AS wildcards\nCOPY --from=builder /out/lib/lib*.so* /usr/lib/odd/\n"
        "COPY --from=builder /out/nothing-like-it* /usr/lib/odd/"
    ),
    "by-number": Animal(lines="FROM ${BASE} AS by-number\nCOPY --from=0 /out/tool /bin/by-number"),
    "odd-names": Animal(
        lines='FROM ${BASE} AS odd-names\nCOPY --from=builder ["/out/a b\\\\$c", "/x y/"]\n'
        'COPY --from=builder ["/out/star[[]1][*]", "/x y/"]\nCOPY --from=builder /out/caf\u00e9 /caf\u00e9/'
    ),
    "relative": Animal(lines="FROM ${BASE} AS relative\nWORKDIR /w/x\nCOPY --from=builder out/tool out/tree/again ./"),
    "through-links": Animal(
        lines="FROM ${BASE} AS through-links\nRUN mkdir -p /data/real && ln -s /data/real /app && ln -s nowhere /lost\n"
        "COPY --from=builder /out/tool /app/\nCOPY --from=builder /out/linked /app/linked/\n"
        "COPY --from=builder /out/run-me /lost/run-me"
    ),
    "many": Animal(lines="FROM ${BASE} AS many\nCOPY --from=builder /out/many /many"),
    "linked-layer": Animal(
        lines="FROM ${BASE} AS linked-layer\nCOPY --link --from=builder /out/tool /bin/linked\n"
        "COPY --link --from=builder --chown=7:8 /out/tree /deep/er/"
    ),
    "overwritten": Animal(
        lines="FROM ${BASE} AS overwritten\nCOPY --from=builder /out/tool /x\nCOPY version.txt /x\n"
        "COPY --from=builder --chmod=0640 /out/tool /x"
    ),
    "twice": Animal(lines="FROM ${BASE} AS twice\nCOPY --from=builder /out/tool /x\nCOPY --from=builder /out/tool /x"),
    "empty-folder": Animal(lines="FROM ${BASE} AS empty-folder\nCOPY --from=builder /out/empty /empty"),
    "whole-context": Animal(
        lines="FROM ${BASE} AS whole-context\nCOPY --from=builder /out/tool /bin/whole\nCOPY . /context/"
    ),
    "whole-stage": Animal(lines="FROM scratch AS whole-stage\nCOPY --from=builder / /"),
    "special-files": Animal(lines="FROM ${BASE} AS special-files\nCOPY --from=maker /special /special"),
    "sticky": Animal(
        lines="FROM ${BASE} AS sticky\nRUN mkdir -m 1777 /st && mkdir -m 2775 /sg && chown 5:6 /sg\n"
        "COPY --from=builder /out/tree /st/x\nCOPY --from=builder /out/tool /sg/tool\n"
        "COPY --from=builder --chmod=4711 --chown=3:4 /out/tool /sg/sub/tool"
    ),
    # Who owns it.
    "late-account": Animal(
        lines="FROM ${BASE} AS late-account\nCOPY --from=builder /out/passwd /out/group /etc/\n"
        "COPY --from=builder --chown=late:late /out/tool /bin/late\nUSER late\nWORKDIR /home/late",
        made="built",
        verdict="engine",
    ),
    "account-of-context": Animal(
        lines="FROM ${BASE} AS account-of-context\nCOPY passwd.txt /etc/passwd\n"
        "COPY --from=builder --chown=ctx /out/tool /bin/ctx",
        made="built",
        verdict="engine",
    ),
    "too-early-account": Animal(
        lines="FROM ${BASE} AS too-early-account\nCOPY --from=builder --chown=later /out/tool /opt/early\n"
        "RUN adduser -D -u 3333 later",
        verdict="prove",
    ),
    "unknown-account": Animal(
        lines="FROM ${BASE} AS unknown-account\nCOPY --from=builder --chown=nobody-knows:me /out/tool /opt/unknown"
    ),
    # What the tail does.
    "harmless-tail": Animal(
        lines="FROM ${BASE} AS harmless-tail\nCOPY --from=builder /out/tool /bin/harmless\n"
        "RUN mkdir /harmless && chown 5:6 /harmless\nWORKDIR /harmless/w\nENV A=1\nRUN echo $A > a",
        verdict="prove",
    ),
    "listing": Animal(
        lines="FROM ${BASE} AS listing\nCOPY --from=builder /out/tool /bin/odd-tool\nRUN ls /bin > /listing",
        made="built",
        verdict="engine",
    ),
    "breaking": Animal(
        # What the last line reads stands in a file, where no verdict looks: only the proof finds it.
        lines="FROM ${BASE} AS breaking\nRUN echo 'cat /usr/local/share/version.txt > /copy' > /read.sh\n"
        "COPY --from=builder /out/version.txt /usr/local/share/version.txt\nRUN sh -e /read.sh",
        made="built",
        verdict="engine",
    ),
    "deleting": Animal(
        lines="FROM ${BASE} AS deleting\nCOPY --from=builder /out/tree /srv/tree\n"
        "RUN cd /srv; for x in t*; do rm -r $x; done",
        made="built",
        verdict="engine",
    ),
    "chowning": Animal(
        lines="FROM ${BASE} AS chowning\nRUN mkdir /srv\nCOPY --from=builder /out/tree /srv/tree\n"
        "RUN cd / && chown -R 9:9 srv",
        made="built",
        verdict="engine",
    ),
    "parent-replaced": Animal(
        lines="FROM ${BASE} AS parent-replaced\nCOPY --from=builder /out/tool /opt/new/tool\n"
        "RUN mkdir -p /opt/new && chmod 0711 /opt/new",
        made="built",
        verdict="engine",
    ),
    "heredoc": Animal(
        lines="FROM ${BASE} AS heredoc\nCOPY --from=builder /out/tool /bin/heredoc\n"
        "COPY <<EOF /etc/motd\nhello\nEOF\nRUN <<EOF\ntrue\nEOF",
        verdict="prove",
    ),
    "mounting": Animal(
        lines="FROM ${BASE} AS mounting\nCOPY --from=builder /out/tool /bin/mounting\n"
        "RUN --mount=from=builder,source=/out/lib,target=/mnt cp /mnt/notes.txt /notes",
        made="built",
        verdict="engine",
    ),
    "between": Animal(
        lines="FROM ${BASE} AS between\nARG WHO=me\nENV PLACE=/p\nCOPY --from=builder /out/tool ${PLACE}/a\n"
        "RUN adduser -D -u 777 $WHO\nUSER $WHO\nCOPY --from=maker --chown=$WHO /made /home/me/b\nWORKDIR sub\n"
        "RUN id > ids\nCOPY --from=builder /out/lib/ lib/\nCOPY version.txt /home/me/\nCMD a",
        verdict="prove",
    ),
    "of-an-image": Animal(
        lines="FROM ${BASE} AS of-an-image\nCOPY --from=builder /out/tool /t\n"
        "COPY --from=busybox:1.36-glibc /etc/passwd /v\nADD version.txt /added/",
        verdict="prove",
    ),
    # How stages hang together.
    "same-one": Animal(
        lines="FROM ${BASE} AS same-one\nCOPY --from=builder /out/tool /bin/thing\nRUN mkdir /y", verdict="prove"
    ),
    "same-two": Animal(
        lines="FROM ${BASE} AS same-two\nCOPY --from=maker /made /bin/thing\nRUN mkdir /y", verdict="prove"
    ),
    "on-builder": Animal(lines="FROM builder AS on-builder\nCOPY --from=maker /made /out/made\nENV B=1"),
    "child-one": Animal(
        lines="FROM ${BASE} AS common\nCOPY --from=builder /out/tool /bin/common\nENV COMMON=1\n"
        "FROM common AS child-one\nRUN echo one > /one",
        verdict="prove",
    ),
    "child-two": Animal(lines='FROM common AS child-two\nLABEL two=2\nCMD ["common"]'),
    "two-levels": Animal(
        lines="FROM ${BASE} AS packer\nCOPY --from=builder /out/tree /packed/tree\n"
        "RUN cp -r /packed/tree /packed/more\n"
        "FROM ${BASE} AS two-levels\nCOPY --from=packer /packed /packed\nCOPY --from=builder /out/tool /bin/both"
    ),
    "triggered": Animal(
        lines="FROM ${BASE} AS trigger\nONBUILD COPY --from=builder /out/tool /bin/triggered\n"
        "FROM trigger AS triggered\nENV T=1",
        made="built",
        verdict="engine",
    ),
    "Upper.case_1": Animal(lines="FROM ${BASE} AS Upper.case_1\ncopy --from=BUILDER /out/tool /bin/upper"),
}  # fmt: skip

FILES = {
    "version.txt": "1\n",
    "passwd.txt": "root:x:0:0:root:/root:/bin/sh\nctx:x:77:88::/:/bin/sh\n",
    "notes/ignored.log": "not part of the context\n",
    "notes/kept.txt": "kept\n",
    ".dockerignore": "**/*.log\nDockerfile\n",
    "Dockerfile": BUILDER + "\n" + "\n\n".join(animal.lines for animal in ZOO.values()) + "\n",
}

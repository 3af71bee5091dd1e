"""What Dockerfiles do after they copied a program: each with the verdict of its text, and what comes of the proof.

All of it is one project. Its program, ``app``, has another content and another size in a later round.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

ENGINE, PROVE, ASSEMBLE = "engine", "prove", "assemble"

BUILDER = """\
ARG SMALL=busybox:1.36-glibc
ARG DEBIAN=debian:bookworm-slim
FROM ${SMALL} AS builder
COPY version.txt /v
RUN mkdir -p /out/share/inner /out/lib && cat /v /v > /out/share/data && cp /v /out/share/inner/more \\
 && { printf '#!/bin/sh\\nexit 0\\n# '; cat /v; } > /out/app && chmod 0755 /out/app \\
 && ln -s app /out/link && cp /v /out/lib/libapp.so.1 && printf 'same\\n' > /out/same \\
 && printf '# nothing yet\\n' > /out/profile.sh \\
 && if grep -q '^2' /v; then cp /v /out/same; echo 'umask 077' > /out/profile.sh; fi \\
 && cp /etc/passwd /out/passwd && head -n 1 /v >> /out/passwd

FROM ${SMALL} AS trigger
ONBUILD COPY --from=builder /out/app /usr/local/bin/app
ONBUILD RUN mkdir /triggered

FROM ${DEBIAN} AS with-tools
COPY setcap.pl /usr/sbin/setcap
RUN chmod 0755 /usr/sbin/setcap && touch /var/lib/dpkg/status /var/lib/dpkg/available
"""

SETCAP = """\
#!/usr/bin/perl
require 'syscall.ph' if 0;
my ($capability, $file) = @ARGV;
my $name = "security.capability\\0";
my $value = pack("V5", 0x02000001, 1 << 13, 0, 0, 0);
my $number = `uname -m` =~ /x86_64/ ? 188 : 5;
syscall($number, "$file\\0", $name, $value, length $value, 0) == 0 or die "setcap: $!";
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What follows the COPY of the program in one variant.

    ``verdict`` is that of the text, ``proven`` what the proof shows (where there is one), ``reason`` a part of why an
    engine builds it. ``changing`` are the paths that no two builds make alike. ``by_size`` says that its proof holds
    only as long as the files stay about as large as they are: it has commands that could look at that.
    """

    lines: str
    verdict: str
    proven: bool | None = None
    reason: str = ""
    stage: str = "${SMALL}"
    copies: str = "COPY --from=builder /out/app /usr/local/bin/app\n"
    changing: tuple[str, ...] = ()
    by_size: bool = False

    @property
    def is_assembled(self) -> bool:
        """Whether no engine builds the image, once it is proven."""
        return self.verdict == ASSEMBLE or self.proven is True


def proven(lines: str, **more: Any) -> Tail:
    """Return a tail that a proof shows to be harmless."""
    return Tail(lines=lines, verdict=PROVE, proven=True, **more)


def proven_by_size(lines: str, **more: Any) -> Tail:
    """Return a tail that a proof shows to be harmless for files that are about as large."""
    return proven(lines, by_size=True, **more)


def disproven(lines: str, reason: str, **more: Any) -> Tail:
    """Return a tail whose text looks harmless, and which a proof shows to be not."""
    return Tail(lines=lines, verdict=PROVE, proven=False, reason=reason, **more)


def named(lines: str, reason: str = "names", **more: Any) -> Tail:
    """Return a tail whose text says that it needs the program."""
    return Tail(lines=lines, verdict=ENGINE, reason=reason, **more)


def hidden(text: str) -> str:
    """Return a shell's word that comes to ``text`` and does not show it."""
    return f"$(echo {base64.b64encode(text.encode()).decode()} | base64 -d)"


APP = hidden("/usr/local/bin/app")
SHARE = "COPY --from=builder /out/share /opt/share\n"
TOOLS, LOCAL = "with-tools", "with-local"
CHANGES, WITHOUT = "leaving out the late copies changes the result: ", "without the copied files the build fails"
READS, NEVER = "reads the copied files", "never gives the same twice"

TAILS: dict[str, Tail] = {
    # Nothing to prove.
    "metadata": Tail(lines='ENV A=1\nLABEL b=2\nUSER nobody\nENTRYPOINT ["app"]\nCMD ["x"]', verdict=ASSEMBLE),
    "copy-over-it-last": Tail(lines="COPY settings.txt /usr/local/bin/app\nWORKDIR /w", verdict=ASSEMBLE),
    # Plain commands: names, types and modes are all that they can see.
    "mkdir": proven("RUN mkdir -p ~/.x && chown -R nobody ~/.x"),
    "chown-beside": proven("RUN mkdir /srv /srv/data && chown -R 5:6 /srv/data"),
    "adduser": proven("RUN adduser -D -u 1234 agent\nUSER agent\nWORKDIR /home/agent\nRUN touch mine && mkdir -p a/b"),
    "useradd": proven("RUN useradd -m -u 1234 -s /bin/bash agent", stage=TOOLS),
    "symbolic-link": proven("RUN ln -s /usr/local/bin/app /usr/bin/alias"),
    "umask": proven("RUN umask 027 && mkdir /srv && echo x > /srv/x"),
    "shell": proven('SHELL ["/bin/ash", "-eo", "pipefail", "-c"]\nRUN mkdir /x'),
    "no-shell": proven('RUN ["/bin/mkdir", "/made"]'),
    "path": proven("ENV PATH=/opt/tools:$PATH\nRUN mkdir -p /opt/tools && echo x > /opt/tools/y"),
    "touch-parent": proven("RUN touch /usr/local/bin /usr", stage=LOCAL),
    "loop": proven("ARG NAMES=a\nRUN for n in $NAMES b; do mkdir -p /srv/$n; done"),
    "question": proven("RUN if [ ! -e /usr/share/none ]; then mkdir -p /usr/share/none; fi"),
    "copy-over-it": proven("COPY settings.txt /usr/local/bin/app\nRUN mkdir /x"),
    "workdir-below": proven('WORKDIR /opt/share/work\nRUN ["/bin/mkdir", "/made"]', copies=SHARE),
    "unpacked": proven("ADD x.tar /opt/"),
    "unpacked-around": proven("ADD x.tar /usr/local/"),
    "linked-core": proven("RUN mkdir /x", copies="COPY --from=builder /out/link /usr/local/bin/link\n"),
    "between": proven(
        "RUN mkdir /one\nCOPY --from=builder /out/share/data /data\nRUN mkdir /two && chown 7 /two\nCOPY settings.txt /"
    ),
    # Other commands, which could read anything and do not.
    "heredoc": proven_by_size("RUN <<EOF\nmkdir /made\necho hello > /made/hello\nEOF"),
    "edit": proven_by_size("RUN echo a > /etc/motd && sed -i s/a/b/ /etc/motd"),
    "copy-beside": proven_by_size("RUN cp -a /etc /backup"),
    "hard-link-beside": proven("RUN echo x > /one && ln /one /two"),
    "tar-over-parent": proven_by_size(
        "RUN mkdir -p /t/usr/local/bin && echo x > /t/usr/local/bin/other "
        "&& tar -C /t -cf - . | tar -C / -xf - && rm -r /t"
    ),
    "script": proven_by_size("COPY install.sh /\nRUN sh /install.sh"),
    "entrypoint": proven("COPY entrypoint.sh /\nRUN chmod +x /entrypoint.sh"),
    "package-manager-like": proven_by_size(
        "RUN mkdir -p /usr/lib/node/x && echo 'module.exports = 1' > /usr/lib/node/x/index.js "
        "&& find /usr/lib/node -name '*.js' | sort | xargs cat > /usr/lib/node/bundle.js"
    ),
    "perl": proven_by_size("RUN perl -e 'open F, q(>), q(/made); print F 1 + 1'", stage=TOOLS),
    "cache-mount": proven_by_size("RUN --mount=type=cache,target=/cache touch /cache/x && cp /etc/group /copy"),
    "context-mount": proven_by_size("RUN --mount=type=bind,source=settings.txt,target=/s cp /s /copy"),
    "package": proven_by_size(
        "COPY x.deb /tmp/\nRUN dpkg --force-all -i /tmp/x.deb && rm -rf /tmp/x.deb /var/log/dpkg.log", stage=TOOLS
    ),
    "linker-cache": proven_by_size("RUN ldconfig && rm -rf /var/cache/ldconfig", stage=TOOLS),
    "text-of-that-name": proven_by_size("RUN echo app > /etc/motd && cp /etc/motd /motd"),
    # The text says it.
    "run": named("RUN app --version > /version || true"),
    "test": named("RUN test -x /usr/local/bin/app && touch /has"),
    "command": named("RUN command -v app > /where || true"),
    "size": named("RUN test $(stat -c %s /usr/local/bin/app) -lt 1000000 && touch /small || true"),
    "digest": named("RUN sha256sum /usr/local/bin/app > /sum"),
    "remove": named("RUN rm /usr/local/bin/app"),
    "hard-link": named("RUN ln /usr/local/bin/app /usr/bin/alias"),
    "setcap": named("RUN setcap cap_net_raw+ep /usr/local/bin/app", stage=TOOLS),
    "wildcard": named("RUN for f in /usr/local/bin/*; do chmod 0700 $f; done"),
    "chown-over": named("RUN chown -R 5:6 /usr/local"),
    "chmod-parent": named("RUN chmod 0711 /usr/local/bin"),
    "find": named("RUN find /usr -type f -exec chmod 0700 {} +"),
    "through-variables": named("RUN d=/usr/local; f=ap; cat $d/bin/${f}p > /copy"),
    "through-directories": named("RUN cd /usr && cd local/bin && cp app /copy"),
    "stage-mount": named("RUN --mount=from=builder,source=/out/share,target=/m cp /m/data /copy", "RUN --mount"),
    "triggered": named("ENV A=1", "ONBUILD", stage="trigger", copies=""),
    # The text does not say it: without the files the build fails.
    "hidden-copy": disproven(f'RUN cat "{APP}" > /copy', WITHOUT),
    "hidden-removal": disproven(f'RUN rm "{APP}"', WITHOUT),
    # The text does not say it: without the files something is silently different.
    "hidden-force": disproven(f'RUN rm -f "{APP}"', CHANGES),
    "hidden-mode": disproven(f'RUN chmod 0700 "{APP}" || true', CHANGES),
    "hidden-hard-link": disproven(f'RUN ln "{APP}" /alias || true', CHANGES),
    "hidden-test": disproven(f'RUN test -x "{APP}" && touch /has || true', f"{CHANGES}/has"),
    "hidden-lookup": disproven(
        "RUN for n in ls a$(echo p)p; do command -v $n; done > /which || true", f"{CHANGES}/which"
    ),
    "usage": disproven("RUN du -s /usr > /size", f"{CHANGES}/size"),
    "copy-around": disproven("RUN cp -a /usr/local /backup", f"{CHANGES}/backup", stage=LOCAL),
    "listing": disproven("RUN ls /usr/local/bin > /list", f"{CHANGES}/list", stage=LOCAL),
    "workdir-of-another-mode": disproven(
        'WORKDIR /opt/share/work\nRUN ["/bin/mkdir", "/made"]',
        f"{CHANGES}/opt: mode",
        copies="COPY --from=builder --chmod=0700 /out/share /opt/share\n",
    ),
    # With and without the files it is the same, but with other files it would not be.
    "hidden-run": disproven(
        f"RUN eval \"{hidden('app --version')}\" > /dev/null 2>&1 || true", "runs the copied program `app`"
    ),
    "script-runs-it": disproven("COPY quiet.sh /\nRUN sh /quiet.sh", "`/quiet.sh`, which names `app`"),
    "script-of-a-script": disproven("COPY outer.sh quiet.sh /\nRUN sh /outer.sh", "`/quiet.sh`, which names `app`"),
    "script-greps-it": disproven("COPY grep.sh /\nRUN sh /grep.sh", "`/grep.sh`, which names"),
    "hidden-size": disproven(f'RUN [ $(stat -c %s "{APP}" || echo 0) -gt 150 ] && touch /large; true', READS),
    "same-file": disproven(
        "RUN cd /etc; ls | grep '^sam' | xargs chmod 0600",
        f"{READS}: with other contents in them, /etc/same",
        stage="same-file-base",
        copies="COPY --from=builder /out/same /etc/same\n",
    ),
    "profile": disproven(
        f'RUN eval "$(find "{hidden("/etc/profile.d")}" -type f | xargs cat)"; mkdir /made',
        "profile.sh",
        stage="profile-base",
        copies="COPY --from=builder /out/profile.sh /etc/profile.d/profile.sh\n",
    ),
    "accounts": disproven(
        "USER 5\nRUN true", "the copies bring `/etc/passwd`", copies="COPY --from=builder /out/passwd /etc/passwd\n"
    ),
    # Nothing can be shown.
    "date": disproven("RUN date +%s%N > /built", f"{NEVER} (/built: content)", changing=("/built",)),
    "random-name": disproven("RUN mktemp -d /srv-XXXXXX", NEVER, changing=("/srv-",)),
    "package-log": disproven(
        "COPY x.deb /tmp/\nRUN dpkg --force-all -i /tmp/x.deb && rm /tmp/x.deb",
        f"{NEVER} (/var/log/dpkg.log",
        changing=("/var/log/dpkg.log",),
        stage=TOOLS,
    ),
}  # fmt: skip

GROWS = proven_by_size(f'RUN [ $(stat -c %s "{APP}" || echo 0) -gt 1000000 ] && touch /big; true')
"""A tail that asks for a size which the program has not yet: its proof must not hold once it has grown so far."""

BASES = """\
FROM ${SMALL} AS with-local
RUN mkdir -p /usr/local/bin
FROM ${SMALL} AS same-file-base
RUN printf 'same\\n' > /etc/same
FROM ${SMALL} AS profile-base
RUN mkdir /etc/profile.d
"""


def dockerfile() -> str:
    """Return the Dockerfile with a stage for each tail."""
    stages = [
        f"FROM {tail.stage} AS {name}\n{tail.copies}{tail.lines}\n" for name, tail in {**TAILS, "grows": GROWS}.items()
    ]
    return "\n".join((BUILDER, BASES, *stages))


def files() -> dict[str, str]:
    """Return the project's texts; the archive and the package are made where they are written."""
    return {
        "Dockerfile": dockerfile(),
        "settings.txt": "a=1\n",
        "setcap.pl": SETCAP,
        "install.sh": "set -e\nmkdir -p /opt/installed\ncp /etc/group /opt/installed/\n",
        "entrypoint.sh": '#!/bin/sh\nexec app "$@"\n',
        "quiet.sh": "# install what it can\napp install-plugins > /dev/null 2>&1 || true\n",
        "outer.sh": "set -e\nsh /quiet.sh\n",
        "grep.sh": "if grep -q 'version 2' /usr/local/bin/app; then touch /second; fi\n",
    }

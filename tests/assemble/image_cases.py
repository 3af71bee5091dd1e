"""Bases of other kinds than `rich`, and what COPY, WORKDIR and metadata must come to on them; see `copy_cases`.

A case begins with the FROM of its base.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.assemble.archives import BASE_TIME, directory, make_tar, member, symlink
from tests.assemble.layouts import Family, Packing

_SRC = "COPY --from=src"
_NAMES = b"root:x:0:0::/:\napp:x:1001:1002::/:\n"
_GROUPS = b"root:x:0:\nstaff:x:50:\n"
_ODD_NAMES = (
    b"# comment\n\n\tspaced:x:21:22::/:\t\nroot:x:99:98::/:\r\ncr:x:5:6\r\n:x:7:7:\n+::::\ndup:x:1:2:\ndup:x:3:4:\n"
    b"big:x:4294967294:70000:\nfew:x:9\nnone\n\xff\xfe:x:12:13:\nplus:x:+14:+15:\nhex:x:0x10:1e3:\nlast:x:16:17:"
)
_ODD_GROUPS = b"#\n\n cr:x:60:\r\ndup:x:61:a,b\ndup:x:62:\nbig:x:70000:\nfew\nnan:x:y:\nlast:x:63"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An image to build on; ``config`` replaces keys of a plain one."""

    layers: tuple[bytes, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    family: Family = Family.OCI
    packing: Packing = Packing.GZIP
    platform: str = "linux/amd64"


def _users(*members: tuple[tarfile.TarInfo, bytes]) -> Base:
    return Base(layers=(make_tar((directory("usr", mtime=BASE_TIME), *members)),))


_ETC = directory("etc", mtime=BASE_TIME)
_FILES_MEMBERS = (
    _ETC,
    member("etc/passwd", content=_NAMES, mtime=BASE_TIME),
    member("etc/group", content=_GROUPS, mtime=BASE_TIME),
    directory("srv", 0o1775, (5, 6), mtime=BASE_TIME),
)
_FILES = make_tar(_FILES_MEMBERS)


def _configured(**settings: object) -> Base:
    return Base(layers=(_FILES,), config={"config": settings})


def _files_of(name: str) -> bytes:
    """Return a layer that no other base has: of one that has several packed forms, BuildKit takes any."""
    return make_tar((*_FILES_MEMBERS, member("packed", content=name.encode())))


_RICH_CONFIG = {
    "User": "app",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Env": ["PATH=/bin", "A=1", "EMPTY=", "B=x=y"],
    "Entrypoint": ["/entry"],
    "Cmd": ["old", "words"],
    "Volumes": {"/v": {}},
    "WorkingDir": "/srv/work",
    "Labels": {"z": "1", "a": "<&>"},
    "StopSignal": "SIGTERM",
    "Healthcheck": {"Test": ["CMD", "x"], "Interval": 30_000_000_000, "Retries": 3},
    "Shell": ["/bin/ash", "-ec"],
    "ArgsEscaped": True,
}

BASES: Mapping[str, Base] = {
    "users-plain": Base(layers=(_FILES,)),
    "users-none": _users(),
    "users-empty": _users(_ETC, member("etc/passwd"), member("etc/group")),
    "users-linked": _users(
        _ETC,
        member("usr/p", content=_NAMES),
        directory("usr/g"),
        member("usr/g/g", content=_GROUPS),
        symlink("etc/passwd", "../usr/p"),
        symlink("etc/group", "/usr/g/../../../usr/g/g"),
    ),
    "users-linked-etc": _users(
        directory("usr/etc"),
        member("usr/etc/passwd", content=_NAMES),
        member("usr/etc/group", content=_GROUPS),
        symlink("etc", "usr/etc"),
    ),
    "users-dangling": _users(_ETC, symlink("etc/passwd", "/nowhere"), symlink("etc/group", "/nowhere/else")),
    "users-directory": _users(_ETC, directory("etc/passwd"), directory("etc/group")),
    "users-loop": _users(_ETC, symlink("etc/passwd", "passwd"), symlink("etc/group", "passwd")),
    "users-below-file": _users(member("etc", content=b"no directory")),
    "users-hard-linked": _users(
        _ETC,
        member("usr/p", content=_NAMES),
        member("etc/passwd", tarfile.LNKTYPE, link="usr/p"),
        member("etc/group", tarfile.LNKTYPE, link="usr/p"),
    ),
    "users-odd": _users(_ETC, member("etc/passwd", content=_ODD_NAMES), member("etc/group", content=_ODD_GROUPS)),
    "users-long-line": _users(_ETC, member("etc/passwd", content=b"x" * 70_000 + b"\n" + _NAMES)),
    "users-replaced": Base(
        layers=(
            _FILES,
            make_tar((_ETC, member("etc/passwd", content=b"app:x:5:6:\n"), member("etc/.wh.group"))),
        )
    ),
    "layered": Base(
        layers=(
            _FILES,
            make_tar(
                (
                    directory("a", 0o711, (1, 2)),
                    directory("a/b", 0o1777),
                    member("a/b/one", content=b"1"),
                    member("a/b/two", content=b"2"),
                    directory("gone"),
                    member("gone/file", content=b"g"),
                    directory("hidden"),
                    member("hidden/file", content=b"h"),
                    symlink("link", "a/b"),
                    member("was-file", content=b"f"),
                    directory("was-directory"),
                    member("was-directory/inside", content=b"i"),
                    directory("names"),
                    member("names/one", content=b"linked"),
                    member("names/two", tarfile.LNKTYPE, link="names/one"),
                )
            ),
            make_tar(
                (
                    directory("a", 0o700, (3, 4)),
                    directory("a/b", 0o1777),
                    member("a/b/.wh.one"),
                    member(".wh.gone"),
                    directory("hidden", 0o750),
                    member("hidden/.wh..wh..opq"),
                    member("hidden/new", content=b"n"),
                    directory("was-file"),
                    member("was-directory", content=b"now a file"),
                    directory("names"),
                    member("names/one", content=b"linked no more"),
                )
            ),
            make_tar((directory("deep"), member("deep/file", content=b"d"), symlink("srv", "a/b"))),
        )
    ),
    "empty-layer": Base(layers=(_FILES, make_tar(()), make_tar((directory("x"),)))),
    "odd-names": Base(
        layers=(
            make_tar(
                (
                    member("./dotted", content=b"1"),
                    member("/absolute/file", content=b"2"),
                    directory("trailing"),
                    member("x//y", content=b"3"),
                    symlink("trailing/link", "/absolute/"),
                )
            ),
            make_tar((directory("absolute", 0o700),), format=tarfile.GNU_FORMAT),
        )
    ),
    "config-empty": Base(layers=(_FILES,), config={"config": {}}),
    "config-none": Base(layers=(_FILES,), config={"config": None}),
    "config-null": Base(layers=(_FILES,), config={"config": {"Env": None, "Cmd": None, "Labels": None}}),
    "config-rich": _configured(**_RICH_CONFIG),
    "config-workdir-unclean": _configured(WorkingDir="//srv/./x/../y/"),
    "config-user-number": _configured(User="77"),
    "config-user-unknown": _configured(User="nobody:none"),
    "config-env-odd": _configured(Env=["PATH", "=x", "A", "A=1", "A=2"]),
    "config-path-empty": _configured(Env=["PATH="]),
    "config-entrypoint-empty": _configured(Entrypoint=[], Cmd=[], Env=[]),
    "config-health-none": _configured(Healthcheck={"Test": ["NONE"]}),
    "config-author": Base(layers=(_FILES,), config={"author": "A <a@b>", "config": {"Labels": {}}}),
    "config-no-created": Base(layers=(_FILES,), config={"created": None}),
    "history-empties": Base(
        layers=(_FILES,),
        config={
            "history": [
                {"created": "2001-01-01T00:00:00Z", "created_by": "one", "empty_layer": True},
                {"created_by": "two", "author": "me", "comment": "c"},
                {"empty_layer": True},
                {"created": "2003-03-03T03:03:03.123456789Z", "created_by": "<three>", "empty_layer": True},
            ]
        },
    ),
    "docker": Base(layers=(_files_of("docker"),), family=Family.DOCKER),
    "docker-old": Base(
        layers=(_FILES,),
        family=Family.DOCKER,
        config={
            "id": "0123",
            "parent": "4567",
            "container": "89ab",
            "container_config": {"Hostname": "h", "Cmd": ["x"]},
            "docker_version": "18.06",
            "throwaway": True,
            "config": {
                "Hostname": "host",
                "Domainname": "domain",
                "AttachStdin": False,
                "Tty": False,
                "Env": ["PATH=/bin"],
                "Image": "sha256:cdef",
                "Cmd": ["sh"],
                "Entrypoint": None,
                "OnBuild": None,
                "Labels": None,
            },
        },
    ),
    "docker-plain": Base(layers=(_files_of("docker-plain"),), family=Family.DOCKER, packing=Packing.PLAIN),
    "docker-zstd": Base(layers=(_files_of("docker-zstd"),), family=Family.DOCKER, packing=Packing.ZSTD),
    "oci-plain": Base(layers=(_files_of("oci-plain"),), packing=Packing.PLAIN),
    "oci-zstd": Base(layers=(_files_of("oci-zstd"),), packing=Packing.ZSTD),
    "unknown-keys": Base(
        layers=(_FILES,),
        config={"x-vendor": {"b": [1, 2.5, None], "a": "<"}, "config": {"X-Setting": {"k": True}, "Cmd": ["sh"]}},
    ),
    "features": Base(layers=(_FILES,), config={"os.version": "10.0", "os.features": ["f1", "f2"]}),
    "variant-v8": Base(layers=(_FILES,), config={"architecture": "arm64", "variant": "v8"}, platform="linux/arm64/v8"),
    "variant-none": Base(layers=(_FILES,), config={"architecture": "arm64"}, platform="linux/arm64"),
    "variant-v7": Base(layers=(_FILES,), config={"architecture": "arm", "variant": "v7"}, platform="linux/arm/v7"),
    "variant-lacking": Base(layers=(_FILES,), config={"architecture": "arm"}, platform="linux/arm/v6"),
    "variant-amd64": Base(layers=(_FILES,), config={"variant": "v3"}, platform="linux/amd64/v3"),
}

_EVERYTHING = (
    f"ENV X=1\nLABEL l=2\nWORKDIR sub\n{_SRC} /core/bin/tool .\nUSER staffer\nEXPOSE 81\nVOLUME /w\n"
    'STOPSIGNAL 9\nCMD ["new"]\nENTRYPOINT ["/it"]'
)
_OWNERS = (
    "app", "app:staff", "app:50", "1001:staff", "1001", "0:staff", "root:staff", ":staff", ":0", "app:", ":", "root",
    "unknown", "unknown:unknown", "app:unknown", "7:unknown", "007:08", "2147483647", "2147483648", "+7",
)  # fmt: skip
_ODD_OWNERS = (
    "spaced", "cr", "cr:cr", "dup:dup", "few:few", "none", "plus", "hex", "last:last", "nan:nan", "+", "#"
)  # fmt: skip

CASES: Mapping[str, str] = {
    # rows 9 and 24: names of users
    **{
        f"owner-{number}": f"FROM users-plain\n{_SRC} --chown={owner} /core/lib /p/q/\nUSER {owner}\nWORKDIR /w/x"
        for number, owner in enumerate(_OWNERS)
    },
    **{
        f"odd-owner-{number}": f"FROM users-odd\n{_SRC} --chown={owner} /core/lib /p/q/\nUSER {owner}\nWORKDIR /w/x"
        for number, owner in enumerate(_ODD_OWNERS)
    },
    **{
        f"{name}-owner": f"FROM {name}\n{_SRC} --chown=app:staff /core/lib /p/\nUSER app:staff\nWORKDIR /w"
        for name in (
            "users-none",
            "users-empty",
            "users-linked-etc",
            "users-dangling",
            "users-replaced",
            "layered",
            "docker-zstd",
            "oci-plain",
            "oci-zstd",
        )
    },
    **{
        f"{name}-number": f"FROM {name}\n{_SRC} --chown=4:5 /core/lib /p/\nUSER 4:5\nWORKDIR /w"
        for name in ("users-directory", "users-loop", "users-long-line", "users-below-file")
    },
    "owner-by-variable": f"FROM users-plain\nARG U=app\nENV G=staff\n{_SRC} --chown=$U:$G /core/lib /p/",
    # bases of many layers
    "layered-into": f"FROM layered\n{_SRC} /core/lib /link\n{_SRC} /core/lib /srv/\nWORKDIR /gone/again",
    "layered-hidden": f"FROM layered\n{_SRC} /tree /hidden\n{_SRC} /core/bin/tool /was-file/\nWORKDIR /names",
    "layered-over": f"FROM layered\n{_SRC} /wild/a.txt /was-directory\n{_SRC} /wild/a.txt /names/two",
    "layered-itself": "FROM layered\nCOPY --from=layered / /",
    "layered-elsewhere": "FROM base\nCOPY --from=layered / /layers/",
    "empty-layers": f"FROM empty-layer\n{_SRC} /none* /x\n{_SRC} /core/lib /x",
    "odd-names-base": f"FROM odd-names\n{_SRC} /core/lib /trailing/link/lib\n{_SRC} /core/bin/tool /x/y",
    # row 28: what the base's config says
    **{
        f"{name}-everything": f"FROM {name}\n{_EVERYTHING}"
        for name in BASES
        if name.startswith(("config-", "docker", "oci-", "history-", "features"))
    },
    **{
        f"{name}-untouched": f"FROM {name}"
        for name in BASES
        if name.startswith(("config-", "docker", "oci-", "history-", "features"))
    },
    **{
        f"{name}-platform": f"FROM {name}\n{_SRC} /core/lib /p/\nENV V=1"
        for name in BASES
        if name.startswith("variant-")
    },
    "scratch-everything": f"FROM scratch\n{_EVERYTHING}",
    "scratch-untouched-metadata": "FROM scratch\nLABEL a=b",
    "scratch-copies": f"FROM scratch\n{_SRC} /core /\n{_SRC} --chown=app /core /x\nWORKDIR /y",
    "entrypoint-clears-cmd": 'FROM config-rich\nENTRYPOINT ["/new"]',
    "entrypoint-keeps-own-cmd": 'FROM config-rich\nCMD ["new"]\nENTRYPOINT ["/new"]',
    "entrypoint-then-own-cmd": 'FROM config-rich\nENTRYPOINT ["/new"]\nCMD ["new"]',
    "entrypoint-empty-clears-cmd": "FROM config-rich\nENTRYPOINT []",
    "cmd-alone": "FROM config-rich\nCMD new words",
    "cmd-none": "FROM config-rich\nCMD []",
    "shell-inherited": "FROM config-rich\nCMD x y\nENTRYPOINT z",
    "shell-changed": 'FROM config-rich\nCMD a\nSHELL ["/s", "-x", "<&>"]\nENTRYPOINT b\nSHELL ["/t"]',
    "env-replaced": 'FROM config-rich\nENV A=2 PATH=/sbin:$PATH\nENV C="$A $B" EMPTY=full D=${EMPTY}\nENV A=3',
    "env-odd": 'FROM config-rich\nENV Q=\'"\' R="\\"" S=a\\ b T=$NONE U=${NONE:-d}\nENV old  style   value',
    "env-long": "FROM config-rich\nENV " + " ".join(f"V{n}={'x' * n}" for n in range(40)),
    "label-merged": 'FROM config-rich\nLABEL z=2 b="x\\ny" "c d"=e\nLABEL a= m="<&>\u2028"',
    "label-multiline": "FROM config-rich\nLABEL one=1 \\\n  two=\"2 \\\n  3\" \\\n  three='4'",
    "label-by-variable": "FROM config-rich\nARG V=1.2\nLABEL v=$V w='$V' x=${V#1.}",
    "expose-range": "FROM config-rich\nEXPOSE 8000-8003/udp 443\nEXPOSE 80 8001/TCP\nARG P=99\nEXPOSE $P ${P}1/sctp",
    "volume-merged": 'FROM config-rich\nVOLUME /v /w\nVOLUME ["/x y", "/z"]\nVOLUME relative/./v/',
    "user-replaced": "FROM config-rich\nUSER 0\nWORKDIR new\nUSER app:staff\nWORKDIR newer",
    "workdir-inherited": f"FROM config-rich\n{_SRC} /core/lib .\n{_SRC} /core/bin/tool sub/",
    "workdir-inherited-unclean": f"FROM config-workdir-unclean\n{_SRC} /core/lib .\nWORKDIR x",
    "workdir-inherited-dot": "FROM config-rich\nWORKDIR .",
    "stopsignal-replaced": "FROM config-rich\nSTOPSIGNAL SIGRTMIN+3",
    "stopsignal-by-variable": "FROM config-rich\nARG S=SIGKILL\nSTOPSIGNAL $S",
    "maintainer-replaced": 'FROM config-author\nMAINTAINER B "quoted" <b@c>\nMAINTAINER C',
    "onbuild-of-all-kinds": 'FROM config-rich\nONBUILD RUN x\nONBUILD COPY a b\nONBUILD CMD ["<"]\nONBUILD ENV A=$B',
    "arg-of-all-kinds": 'FROM config-rich\nARG A\nARG B=1 C="two words" D=$B\nARG E=\nLABEL r="$A-$B-$C-$D-$E"',
    "cmd-odd-characters": 'FROM config-rich\nCMD ["\\u00e9", "\\t\\\\", "a\\u0000b", "\u2028", "\U0001f600", "<&>"]',
    "cmd-shell-odd": "FROM config-rich\nCMD echo 'a  b' \"$X\" && \\\n  true # no comment",
    "history-quotes": f'FROM config-rich\n{_SRC} ["/globs/a b", "/q \\"x\\"/"]\nARG W=/x\n{_SRC} /core/lib $W/y',
    "history-flags": f"FROM config-rich\n{_SRC} --link --chmod=0755 --chown=1:2 --exclude=x /core/lib /h/",
}

HEALTH: Mapping[str, str] = {
    # How an older engine prints a health check in the history is its own affair; see the test.
    "health-all": "FROM config-rich\nHEALTHCHECK --interval=1h2m3s --timeout=1.5s --start-period=250ms "
    '--start-interval=3s --retries=7 CMD ["a", "b c"]',
    "health-shell": "FROM config-rich\nHEALTHCHECK CMD curl -f http://x/ || exit 1",
    "health-replaced": "FROM config-health-none\nHEALTHCHECK --interval=5s CMD true",
    "health-zero": "FROM config-rich\nHEALTHCHECK --interval=0s --retries=0 CMD x",
    "health-on-health": "FROM config-rich\nHEALTHCHECK NONE",
    "healthcheck": 'HEALTHCHECK --interval=90s --timeout=1500ms --start-period=2h --retries=3 CMD ["a", "b"]',
    "healthcheck-shell": "HEALTHCHECK --start-interval=1ms CMD curl -f http://localhost/ || exit 1",
    "healthcheck-none": "HEALTHCHECK NONE",
    "health-none-then-some": 'FROM config-rich\nHEALTHCHECK NONE\nHEALTHCHECK --timeout=2m CMD ["x"]',
    "health-some-then-none": "FROM config-none\nHEALTHCHECK CMD x\nHEALTHCHECK NONE",
}

UNKNOWN = f"FROM unknown-keys\n{_EVERYTHING}"
"""A stage on a base whose config has keys that no specification knows."""

FAILING: Mapping[str, str] = {
    "scratch-missing": f"FROM scratch\n{_SRC} /no-such /x",
    "health-time-too-short": "FROM scratch\nHEALTHCHECK --interval=1us CMD x",
    "expose-too-much": "FROM scratch\nEXPOSE 70000",
}

REFUSED: Mapping[str, str] = {
    # Only contents of files called passwd and group are kept when layers are read.
    **{
        f"{name}-owner": f"FROM {name}\n{_SRC} --chown=app:staff /core/lib /p/"
        for name in (
            "users-linked",
            "users-hard-linked",
            "users-directory",
            "users-loop",
            "users-long-line",
            "users-below-file",
        )
    },
    "owner-beyond-bounds": f"FROM users-odd\n{_SRC} --chown=big:big /core/lib /p/",
    "users-linked-workdir": "FROM users-linked\nUSER app\nWORKDIR /w",
}

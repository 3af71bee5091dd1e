"""Two trees with every kind of file and of trouble: a base, and a stage to copy from."""

from __future__ import annotations

import tarfile

from tests.assemble.archives import BASE_TIME, CAPABILITY, FILE_TIME, SOURCE_TIME, directory, make_tar, member, symlink

LONG = "a-name-of-a-hundred-and-twenty-characters-" + "x" * 78
DEEP = "/".join(f"level-{number}-of-a-deep-directory" for number in range(6))

_PASSWD = b"root:x:0:0:root:/root:/bin/sh\n app:x:1001:1002::/home/app:/bin/sh\napp:x:7:7::/:\nbad:x:nan:\n#c:x:5:6\n"
_GROUP = b"root:x:0:\n#staff:x:51:\nstaff:x:50:\napp:x:1002:\n\nshort\n"

BASE = (
    directory("etc", mtime=BASE_TIME),
    member("etc/passwd", content=_PASSWD, mtime=BASE_TIME),
    member("etc/group", content=_GROUP, mtime=BASE_TIME),
    member("etc/same", content=b"the same\n"),
    member("etc/empty", content=b""),
    directory("usr", mtime=BASE_TIME),
    directory("usr/bin", mtime=BASE_TIME),
    symlink("bin", "usr/bin"),
    directory("usr/local", 0o2775, (0, 50), mtime=BASE_TIME),
    directory("usr/local/bin", mtime=BASE_TIME),
    directory("tmp", 0o1777, mtime=BASE_TIME),
    directory("opt", mtime=BASE_TIME),
    directory("opt/app", 0o750, (1001, 1002), mtime=BASE_TIME),
    member("opt/app/old", content=b"old", mtime=BASE_TIME),
    directory("opt/app/sub", 0o700, (1001, 1002), mtime=BASE_TIME),
    directory("opt/taken", mtime=BASE_TIME),
    directory("opt/taken/a.txt", mtime=BASE_TIME),
    directory("opt/linked", mtime=BASE_TIME),
    directory("opt/linked/real", mtime=BASE_TIME),
    symlink("opt/linked/bin", "real"),
    symlink("opt/linked/liba.so", "/etc/same"),
    directory("srv", mtime=BASE_TIME),
    directory("srv/staff", 0o2775, (0, 50), mtime=BASE_TIME),
    directory("var", mtime=BASE_TIME),
    directory("var/data", 0o755, (1001, 1002), mtime=BASE_TIME),
    symlink("data", "/var/data"),
    symlink("dangling", "/nonexist/x"),
    symlink("dangling-relative", "gone/further"),
    symlink("up", "../../opt"),
    symlink("loop", "loop"),
    symlink("loop-a", "loop-b/x"),
    symlink("loop-b", "loop-a/x"),
    symlink("chain", "rel/app"),
    symlink("rel", "opt"),
    member("isfile", content=b"f", mtime=BASE_TIME),
    symlink("conflink", "/isfile"),
    symlink("dirlink", "opt/app"),
    symlink("through-file", "isfile/x"),
    symlink("dots", "usr/../opt/./app/"),
)

SOURCE = (
    directory("core", 0o750, (1234, 5678)),
    directory("core/bin", 0o711, (1234, 5678)),
    member("core/bin/tool", content=b"x" * 40, mode=0o4755, owner=(1234, 5678)),
    member("core/bin/tool-hl", tarfile.LNKTYPE, link="core/bin/tool", mode=0o4755, owner=(1234, 5678)),
    symlink("core/bin/alias", "tool", (1234, 5678)),
    directory("core/lib"),
    member("core/lib/liba.so", content=b"l" * 10),
    directory("core/lib/sub", 0o711, (1234, 5678)),
    member("core/lib/sub/x", content=b"x"),
    directory("core/empty", 0o700, (9, 9)),
    symlink("core/old", "/core/bin/tool"),
    member("core/fifo", tarfile.FIFOTYPE, mtime=SOURCE_TIME),
    symlink("clink", "core"),
    symlink("clink-absolute", "/core/lib/../lib"),
    symlink("flink", "clink/bin/alias"),
    symlink("source-loop", "source-loop"),
    symlink("source-dangling", "/not/there"),
    directory("same"),
    member("same/same", content=b"the same\n"),
    member("same/empty", content=b""),
    member("other-time", content=b"the same\n", mtime=FILE_TIME + 1),
    directory("special", mtime=SOURCE_TIME + 1),
    member("special/char", tarfile.CHRTYPE, device=(1, 3), mode=0o666),
    member("special/char-300", tarfile.CHRTYPE, device=(7, 300), mode=0o660, owner=(0, 6)),
    member("special/fifo", tarfile.FIFOTYPE, mode=0o600),
    member("special/sticky", content=b"s", mode=0o7777),
    member("special/none", content=b"n", mode=0o000),
    directory("capable"),
    member("capable/ping", content=b"ping", mode=0o755, capability=CAPABILITY),
    member("capable/ping6", tarfile.LNKTYPE, link="capable/ping", mode=0o755, capability=CAPABILITY),
    directory("names"),
    member(f"names/{LONG}", content=b"1"),
    member("names/na\u00efve-\u00fcnicode", content=b"2"),
    member("names/bad-\udcff", content=b"3"),
    symlink("names/to-unicode", "na\u00efve-\u00fcnicode"),
    symlink("names/to-long", LONG),
    directory(f"names/{DEEP.split('/')[0]}"),
    *(directory("names/" + "/".join(DEEP.split("/")[: end + 1])) for end in range(1, 6)),
    member(f"names/{DEEP}/file", content=b"4"),
    member(f"names/{DEEP}/capable", content=b"5", capability=CAPABILITY),
    member("names/big-owner", content=b"6", owner=(3_000_000, 4_000_000_000)),
    directory("wild"),
    member("wild/a.txt", content=b"a"),
    member("wild/b.txt", content=b"b"),
    member("wild/[x].txt", content=b"x"),
    member("wild/-.txt", content=b"-"),
    directory("wild/a.d", 0o700),
    member("wild/a.d/a.txt", content=b"aa"),
    directory("wild/b.d"),
    member("wild/b.d/b.txt", content=b"bb"),
    directory("wild/b.d/deep", 0o711),
    member("wild/b.d/deep/c.txt", content=b"c"),
    member("wild/b.d/deep/c.md", content=b"c"),
    symlink("wild/l.d", "b.d"),
    directory("block"),
    member("block/device", tarfile.BLKTYPE, device=(7, 0), mode=0o660, owner=(0, 6)),
    directory("linked"),
    directory("linked/a"),
    member("linked/a/one", content=b"one"),
    directory("linked/b"),
    member("linked/b/two", tarfile.LNKTYPE, link="linked/a/one"),
    member("linked/z-symlink", tarfile.LNKTYPE, link="core/bin/alias", mode=0o777, owner=(1234, 5678)),
)


def base_tar() -> bytes:
    return make_tar(BASE)


def source_tar() -> bytes:
    return make_tar(SOURCE)

"""Base images made of Debian packages, in place of the public ones of the same names. [io]

No maintainer script runs, so an image for a foreign architecture takes no longer than a native one. What those
scripts would have done and what a build relies on (the account database, a few links) is put in by hand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import layout
from .apt import World, open_package
from .errors import HostError
from .process import Runner, demand
from .rootfs import (
    MERGED,
    Tree,
    difference,
    directory,
    is_wanted,
    link,
    merged_usr,
    overlay,
    read_nodes,
    text,
    with_parents,
)

SUITE = "bookworm"
ARCHITECTURES = ("amd64", "arm64")

DEBIAN = "debian:bookworm-slim"
GCC = "gcc:12-bookworm"
BUSYBOX = "busybox:1.36-glibc"
NAMES = (BUSYBOX, DEBIAN, GCC)

DEBIAN_PACKAGES = ("?essential", "passwd")
GCC_PACKAGES = (*DEBIAN_PACKAGES, "gcc", "libc6-dev", "make")
BUSYBOX_PACKAGES = ("busybox", "libc6", "libgcc-s1")
BUSYBOX_LIBRARIES = ("libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1")
LOADERS = {"amd64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
BUSYBOX_USERS = (
    "root:x:0:0:root:/root:/bin/sh",
    "daemon:x:1:1:daemon:/usr/sbin:/bin/false",
    "bin:x:2:2:bin:/bin:/bin/false",
    "www-data:x:33:33:www-data:/var/www:/bin/false",
    "nobody:x:65534:65534:nobody:/home:/bin/false",
)
BUSYBOX_GROUPS = ("root:x:0:", "daemon:x:1:", "bin:x:2:", "www-data:x:33:", "users:x:100:", "nogroup:x:65534:")
BUSYBOX_SCRIPTS = Path(__file__).parent / "busybox"

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_stand_ins(worlds: Sequence[World], target: Path, applets: Sequence[str]) -> None:
    """Write an image layout with every stand-in for each of the worlds; `target` must not exist yet."""
    layout.create(target)
    with ThreadPoolExecutor(len(worlds)) as pool:
        # Unpacking and compressing happen outside of the interpreter's lock.
        per_world = list(pool.map(lambda world: _write_images(world, target, applets), worlds))
    for name in NAMES:
        layout.add_index(target, name, [images[name] for images in per_world])


def _write_images(world: World, target: Path, applets: Sequence[str]) -> dict[str, layout.Image]:
    architecture = world.architecture
    debian = debian_tree(world.fetch(DEBIAN_PACKAGES))
    debian_layer = layout.write_layer(target, debian)
    gcc = difference(gcc_tree(debian, world.fetch(GCC_PACKAGES)), debian)
    gcc_layer = layout.write_layer(target, with_parents(gcc))
    busybox = layout.write_layer(target, busybox_tree(world.fetch_only(BUSYBOX_PACKAGES), architecture, applets))

    def write(layers: list[layout.Layer], shell: str) -> layout.Image:
        settings = layout.Settings(environment=(PATH,), command=(shell,))
        return layout.write_image(target, architecture, layers, settings)

    return {
        DEBIAN: write([debian_layer], "bash"),
        GCC: write([debian_layer, gcc_layer], "bash"),
        BUSYBOX: write([busybox], "sh"),
    }


def read_packages(packages: Iterable[Path], place: Callable[[str], str]) -> Tree:
    """Return the union of the packages' files, each at the path that `place` gives it."""
    tree: Tree = {}
    for package in packages:
        with open_package(package) as archive:
            for path, node in read_nodes(archive):
                if is_wanted(path):
                    overlay(tree, place(path), node)
    return tree


def debian_tree(packages: Sequence[Path]) -> Tree:
    """Return a root file system of Debian's essential packages, with /usr merged."""
    tree = read_packages(packages, merged_usr)
    for name in MERGED:
        # A directory of the real root stays away where no package needs it, as on a real system.
        if f"usr/{name}" in tree:
            tree[name] = link(f"usr/{name}")
    _add_accounts(tree)
    for kind in ("account", "auth", "password", "session"):
        tree[f"etc/pam.d/common-{kind}"] = text(f"{kind} required pam_unix.so\n")
    tree["usr/bin/awk"] = link("mawk")
    tree["usr/bin/which"] = link("which.debianutils")
    tree["var/run"] = link("/run")
    tree["var/lock"] = link("/run/lock")
    tree["run/lock"] = directory(0o1777)
    tree["etc/profile"] = tree["usr/share/base-files/profile"]
    tree["etc/nsswitch.conf"] = text("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
    for name in ("mnt", "media", "opt", "srv"):
        tree[name] = directory()
    return with_parents(tree)


def _add_accounts(tree: Tree) -> None:
    passwd = tree["usr/share/base-passwd/passwd.master"].data.decode().replace(":*:", ":x:")
    group = tree["usr/share/base-passwd/group.master"].data.decode().replace(":*:", ":x:")
    shadow_gid = next(int(line.split(":")[2]) for line in group.splitlines() if line.startswith("shadow:"))
    tree["etc/passwd"] = text(passwd)
    tree["etc/group"] = text(group)
    tree["etc/shadow"] = text(shadow(passwd), 0o640, gid=shadow_gid)
    tree["etc/gshadow"] = text(gshadow(group), 0o640, gid=shadow_gid)


def shadow(passwd: str) -> str:
    """Return a shadow file in which nobody has a password; the day is `EPOCH`'s."""
    return "".join(f"{name}:*:19358:0:99999:7:::\n" for name in _first_fields(passwd))


def gshadow(group: str) -> str:
    """Return the groups' shadow file."""
    return "".join(f"{name}:*::\n" for name in _first_fields(group))


def _first_fields(lines: str) -> list[str]:
    return [line.split(":", 1)[0] for line in lines.splitlines() if line]


def gcc_tree(debian: Tree, packages: Sequence[Path]) -> Tree:
    """Return the Debian tree with a C compiler in it."""
    # What was put in by hand stays; what packages brought is the same again.
    tree = read_packages(packages, merged_usr) | debian
    for name in ("cc", "c99"):
        tree[f"usr/bin/{name}"] = link("gcc")
    return with_parents(tree)


def busybox_tree(packages: Sequence[Path], architecture: str, applets: Sequence[str]) -> Tree:
    """Return BusyBox with a C library, in a root file system that keeps /bin and /lib to itself."""
    content = {path.rpartition("/")[2]: node for path, node in read_packages(packages, str).items() if is_needed(path)}
    loader = LOADERS[architecture]
    # The loader looks into /lib by itself: no cache of libraries is needed.
    tree: Tree = {f"lib/{name}": content[name] for name in (*BUSYBOX_LIBRARIES, loader)}
    if architecture == "amd64":
        tree["lib64"] = link("lib")
    tree["bin/busybox"] = content["busybox"]
    tree |= {f"bin/{name}": link("busybox") for name in applets if name != "busybox"}
    for script in ("adduser", "addgroup"):
        tree[f"bin/{script}"] = text((BUSYBOX_SCRIPTS / script).read_text(), 0o755)
    tree["usr/bin/env"] = link("../../bin/env")
    tree |= _busybox_accounts()
    for name in ("dev", "etc", "home", "proc", "run", "sys", "usr/bin", "usr/sbin", "var/spool/mail", "var/www"):
        tree[name] = directory()
    tree["root"] = directory(0o700)
    tree["tmp"] = tree["var/tmp"] = directory(0o1777)
    return with_parents(tree)


def is_needed(path: str) -> bool:
    """Whether BusyBox's image may take its file from here: the program, or a library as it lies in its triplet."""
    return path == "bin/busybox" or (path.startswith("lib/") and path.count("/") == 2)


def _busybox_accounts() -> Tree:
    passwd, group = ("".join(f"{line}\n" for line in lines) for lines in (BUSYBOX_USERS, BUSYBOX_GROUPS))
    return {
        "etc/passwd": text(passwd),
        "etc/group": text(group),
        "etc/shadow": text(shadow(passwd), 0o600),
        "etc/nsswitch.conf": text("passwd: files\ngroup: files\nhosts: files dns\n"),
    }


def list_applets(package: Path, runner: Runner) -> list[str]:
    """Return the applets of a native BusyBox, by asking it."""
    with tempfile.TemporaryDirectory() as folder, open_package(package) as archive:
        for path, node in read_nodes(archive):
            if path == "bin/busybox":
                program = Path(folder) / "busybox"
                program.write_bytes(node.data)
                program.chmod(0o755)
                return demand(runner, [str(program), "--list"], what="BusyBox does not list its applets").split()
    raise HostError(f"{package} holds no /bin/busybox")

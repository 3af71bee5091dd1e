from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from scripts.testhost import binfmt, engine, engine_host, registry
from scripts.testhost.errors import HostError
from scripts.testhost.folders import Folders, locate
from scripts.testhost.standin_host import choose_address


@pytest.fixture
def folders() -> Folders:
    return locate({"BUILDONCE_HOST_DIR": "/srv/host"}, Path("/home/someone"))


def test_the_engine_keeps_to_its_own_folders(folders: Folders) -> None:
    settings = json.loads(engine.render_configuration(folders, "127.0.0.1:5000", engine.new_data(folders)))
    assert settings["data-root"].startswith("/srv/host/engine/")
    assert settings["exec-root"].startswith(str(folders.sockets))
    assert settings["hosts"] == [f"unix://{folders.socket}"]
    assert settings["registry-mirrors"] == ["http://127.0.0.1:5000"]
    assert len(settings["bridge"]) <= 15


def test_an_engine_never_takes_over_the_data_of_another(folders: Folders, tmp_path: Path) -> None:
    assert engine.new_data(folders) != engine.new_data(folders)
    configuration = tmp_path / "dockerd.json"
    assert engine.known_data(configuration) is None
    configuration.write_text(engine.render_configuration(folders, "127.0.0.1:5000", folders.engine / "one"))
    assert engine.known_data(configuration) == folders.engine / "one"
    configuration.write_text("{")
    assert engine.known_data(configuration) is None


def test_only_the_engines_own_mounts_are_left_over_innermost_first(folders: Folders) -> None:
    mountinfo = "\n".join(
        f"1 2 0:3 / {point} rw - ext4 /dev/sda rw"
        for point in ("/", "/srv/host/engine", "/srv/host/engine/a\\040b/c", "/srv/host/engine-2", "/srv/hosts")
    )
    assert engine.leftover_mounts(mountinfo, folders) == ["/srv/host/engine/a b/c", "/srv/host/engine"]


def test_nobody_answers_on_a_socket_that_is_not_there(tmp_path: Path) -> None:
    assert not engine.is_ready(tmp_path / "docker.sock")


REGISTERED = """\
enabled
interpreter /usr/bin/qemu-aarch64-static
flags: {flags}
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param({"qemu-aarch64": REGISTERED.format(flags="POCF")}, "qemu-aarch64", id="somebody's"),
        pytest.param({"buildonce-1": REGISTERED.format(flags="OCF")}, "buildonce-1", id="our own"),
        pytest.param({"buildonce-2": REGISTERED.format(flags="OCF")}, None, id="another test host's"),
        pytest.param({"qemu-aarch64": REGISTERED.format(flags="OC")}, None, id="not in containers"),
        pytest.param({"q": REGISTERED.format(flags="F").replace("enabled", "disabled")}, None, id="switched off"),
        pytest.param({"q": REGISTERED.format(flags="F").replace("b700", "f300")}, None, id="another architecture"),
        pytest.param({}, None, id="none"),
    ],
)
def test_an_emulator_serves_only_if_it_does_in_containers(entries: dict[str, str], expected: str | None) -> None:
    assert binfmt.serving_entry(entries, "arm64", own="buildonce-1") == expected


def test_a_registration_is_what_the_kernel_reads() -> None:
    line = binfmt.render_registration("buildonce-1", "arm64", Path("/x/qemu-aarch64-static"))
    name, kind, offset, magic, mask, program, flags = line[1:].split(":")
    assert (name, kind, offset, program, flags) == ("buildonce-1", "M", "", "/x/qemu-aarch64-static", "OCF")
    assert len(magic.replace("ELF", r"\x45\x4c\x46")) == len(mask) == 4 * 20


def test_the_address_used_before_is_used_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        used = f"127.0.0.1:{taken.getsockname()[1]}"
        taken.listen()
        assert choose_address(used) != used
    assert choose_address(used) == used


def test_short_names_are_those_of_the_library() -> None:
    assert registry.split_name("debian:bookworm-slim") == ("library/debian", "bookworm-slim")


def test_the_registry_deletes_when_asked_to() -> None:
    settings = json.loads(registry.render_configuration(Path("/srv/registry"), "127.0.0.1:5000"))
    assert settings["storage"]["delete"] == {"enabled": True}
    assert settings["http"] == {"addr": "127.0.0.1:5000"}


def test_a_registry_that_is_not_there_is_not_ready() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert not registry.Client(address).is_ready()


def test_a_published_port_is_the_loopback_interfaces() -> None:
    assert engine_host.parse_port("[::1]:5001\n127.0.0.1:49153\n") == "127.0.0.1:49153"
    with pytest.raises(HostError, match="not published"):
        engine_host.parse_port("0.0.0.0:49153\n")

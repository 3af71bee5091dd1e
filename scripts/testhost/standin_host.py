"""The test host made of stand-ins: our registry, our engine, our images. [io]"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from . import binfmt, bridge, engine, machine, registry, standins, state, tools
from .apt import Archive, World, find_archive, load_lists
from .context import Context, complete
from .decide import Kind
from .errors import HostError, tail
from .folders import Folders
from .process import Service, await_ready, read_pid, start, stop
from .tools import Tool

START_SECONDS = 60
RECIPE = ("layout.py", "rootfs.py", "standins.py", "busybox/adduser", "busybox/addgroup")


def up(context: Context) -> state.State:
    """Bring up whatever is not up yet; what earlier hosts have left is made anew if it is of no use."""
    kept = [folder for folder in _reusable(context.folders) if folder.exists()]
    try:
        return _up(context)
    except HostError as error:
        if not kept:
            raise
        context.say(f"{error.what}; once more, without what earlier hosts have left")
        down(context)
        for folder in kept:
            shutil.rmtree(folder)
        return _up(context)


def _reusable(folders: Folders) -> tuple[Path, ...]:
    """Return what may be damaged on a machine that went down at a bad moment; apt checks its own files."""
    return (folders.stand_ins, folders.tools)


def _up(context: Context) -> state.State:
    native = machine.architecture()
    foreign = next(name for name in standins.ARCHITECTURES if name != native)
    worlds = Worlds(context)
    programs = Programs(context, worlds)
    emulator = binfmt.EMULATORS[foreign]
    binfmt.ensure(_entry_name(context), foreign, programs.folder(tools.emulator(emulator)) / emulator, context.runner)
    images = ensure_stand_ins(context, worlds)
    address = ensure_registry(context, programs.folder(tools.REGISTRY))
    for name in registry.push_missing(address, images):
        context.say(f"the registry has {name} now")
    record = state.State(kind=Kind.STAND_INS, registry=address)
    ensure_engine(context, record, programs)
    return record


def _entry_name(context: Context) -> str:
    return f"buildonce-{context.folders.short_id}"


class Worlds:
    """apt's view of a suite for an architecture, brought up to date when it is first asked for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._opened: dict[tuple[str, str], World] = {}

    def open(self, suite: str, architecture: str) -> World:
        """Return the world with fresh lists."""
        key = (suite, architecture)
        if key not in self._opened:
            self._context.say(f"fetching the package lists of {suite} for {architecture}")
            world = World(
                folder=self._context.folders.apt / f"{suite}-{architecture}",
                archive=self._archive,
                suite=suite,
                architecture=architecture,
                runner=self._context.runner,
            )
            world.open()
            self._opened[key] = world
        return self._opened[key]

    @functools.cached_property
    def _archive(self) -> Archive:
        archive = find_archive(load_lists(), machine.debian_codename())
        if archive is None:
            raise HostError("the machine's package lists name no archive of Debian", advice="see /etc/apt/sources.list")
        return archive


class Programs:
    """The folders with programs out of packages, filled when they are first asked for."""

    def __init__(self, context: Context, worlds: Worlds) -> None:
        self._context = context
        self._worlds = worlds

    def folder(self, tool: Tool) -> Path:
        """Return the folder of a set from the machine's own suite."""
        return self._ensure(tool, self._context.folders.tools / tool.name, machine.debian_codename())

    def engine(self) -> Path:
        """Return the folder with the engine's programs, from the first suite whose programs run here."""
        chosen = os.environ.get("BUILDONCE_HOST_SUITE")
        suites = (chosen,) if chosen else tools.ENGINE_SUITES
        there = [suite for suite in suites if self._engine_folder(suite).exists()]
        obstacles = []
        for suite in there or suites:
            try:
                return self._ensure(tools.ENGINE, self._engine_folder(suite), suite)
            except HostError as error:
                self._context.say(
                    f"the engine of {suite} does not do: {' '.join([error.what, *tail(error.detail, 1)])}"
                )
                obstacles.append(error.render())
        raise HostError("no engine can be had", detail="\n".join(obstacles))

    def _engine_folder(self, suite: str) -> Path:
        return self._context.folders.tools / f"engine-{suite}"

    def _ensure(self, tool: Tool, target: Path, suite: str) -> Path:
        def write(folder: Path) -> None:
            world = self._worlds.open(suite, machine.architecture())
            self._context.say(f"fetching {', '.join(tool.packages)} of {suite}")
            tools.unpack(tool, world, folder)
            tools.check(tool, folder, self._context.runner)

        return complete(target, write, self._context.folders)


def recipe_key() -> str:
    """Return a key of everything here that shapes the stand-ins: another recipe makes other images."""
    here = Path(__file__).parent
    return hashlib.sha256(b"\0".join((here / name).read_bytes() for name in RECIPE)).hexdigest()[:12]


def ensure_stand_ins(context: Context, worlds: Worlds) -> Path:
    """Return the layout with the base images, made when there is none by the present recipe."""

    def write(folder: Path) -> None:
        began = time.monotonic()
        opened = [worlds.open(standins.SUITE, architecture) for architecture in standins.ARCHITECTURES]
        native = worlds.open(standins.SUITE, machine.architecture())
        context.say(f"making {', '.join(standins.NAMES)} of packages, for {' and '.join(standins.ARCHITECTURES)}")
        applets = standins.list_applets(native.fetch_only(("busybox",))[0], context.runner)
        standins.write_stand_ins(opened, folder, applets)
        context.say(f"made them in {time.monotonic() - began:.0f} s")

    current = complete(context.folders.stand_ins / recipe_key(), write, context.folders)
    for other in set(context.folders.stand_ins.iterdir()) - {current}:
        shutil.rmtree(other)
    return current


def ensure_registry(context: Context, programs: Path) -> str:
    """Return the address of our registry, started if it does not run."""
    folders = context.folders
    configuration = folders.run / "registry.yml"
    service = _registry_service(context, programs)
    known = _known_address(configuration)
    if known and read_pid(service.pid_file, service.marker) is not None and registry.Client(known).is_ready():
        return known
    stop_service(service)
    address = choose_address(known)
    # What an earlier registry was pushed is nobody's, and may be damaged where the machine went down at a bad moment.
    shutil.rmtree(folders.registry, ignore_errors=True)
    folders.run.mkdir(parents=True, exist_ok=True)
    configuration.write_text(registry.render_configuration(folders.registry, address))
    start(service)
    client = registry.Client(address)
    await_ready(service, client.is_ready, seconds=START_SECONDS)
    context.say(f"the registry answers on {address}")
    return address


def _registry_service(context: Context, programs: Path) -> Service:
    run = context.folders.run
    return Service(
        name="docker-registry",
        argv=(str(programs / "docker-registry"), "serve", str(run / "registry.yml")),
        marker=str(run / "registry.yml"),
        pid_file=run / "registry.pid",
        log=run / "registry.log",
        env={"OTEL_TRACES_EXPORTER": "none"},
    )


def _known_address(configuration: Path) -> str:
    try:
        return str(json.loads(configuration.read_bytes())["http"]["addr"])
    except (OSError, ValueError, KeyError):
        return ""


def choose_address(known: str) -> str:
    """Return the address used before, if it is free, so that references to it stay valid; else any free one."""
    for port in (int(known.rpartition(":")[2]) if known else 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"127.0.0.1:{probe.getsockname()[1]}"
    raise HostError("there is no free port on the loopback interface")


def ensure_engine(context: Context, record: state.State, programs: Programs) -> None:
    """Have our engine run with the registry as its mirror; one that is started is tried out first."""
    folders = context.folders
    own = programs.engine()
    tools.client_folders(own, folders.client, folders.docker_config)
    service = engine.service(folders, (own, programs.folder(tools.RUNTIME)))
    configuration = folders.run / "dockerd.json"
    data = engine.known_data(configuration) or engine.new_data(folders)
    wanted = engine.render_configuration(folders, record.registry, data)
    # What was last tried out; an engine of which that is not known is not taken over.
    tried = folders.run / "dockerd.tried"
    is_current = tried.exists() and tried.read_text() == f"{own}\n{wanted}"
    is_running = read_pid(service.pid_file, service.marker) is not None and engine.is_ready(folders.socket)
    if is_current and is_running and bridge.exists(engine.bridge_name(folders)):
        return
    for ended in stop_engine(context, service):
        context.say(f"ended {ended}, which was left over")
    tried.unlink(missing_ok=True)
    engine.discard(folders)
    wanted = engine.render_configuration(folders, record.registry, engine.new_data(folders))
    configuration.write_text(wanted)
    folders.sockets.mkdir(mode=0o700, exist_ok=True)
    bridge.ensure(engine.bridge_name(folders))
    start(service)
    await_ready(service, lambda: engine.is_ready(folders.socket), seconds=START_SECONDS)
    context.say("the engine answers; trying it out on both platforms")
    env = state.environment(record, folders, os.environ.get("PATH", os.defpath))
    engine.probe(record.registry, folders.run / "probe", context.runner, env)
    tried.write_text(f"{own}\n{wanted}")


def stop_service(service: Service) -> bool:
    """End a service, if it runs."""
    pid = read_pid(service.pid_file, service.marker)
    ended = pid is not None and stop(pid, service.marker)
    service.pid_file.unlink(missing_ok=True)
    return ended


def stop_engine(context: Context, service: Service) -> list[str]:
    """End the engine and what it left, and return what that was."""
    ended = ["dockerd"] if stop_service(service) else []
    ended += engine.stop_children(context.folders)
    return ended + [f"mount {point}" for point in engine.unmount(context.folders, context.runner)]


def down(context: Context) -> list[str]:
    """End everything that `up` started, and return what that was."""
    nowhere = Path()
    ended = stop_engine(context, engine.service(context.folders, (nowhere,)))
    engine.discard(context.folders)
    if stop_service(_registry_service(context, nowhere)):
        ended.append("docker-registry")
    shutil.rmtree(context.folders.registry, ignore_errors=True)
    if bridge.remove(engine.bridge_name(context.folders)):
        ended.append(f"bridge {engine.bridge_name(context.folders)}")
    if binfmt.remove(_entry_name(context)):
        ended.append(f"emulation entry {_entry_name(context)}")
    return ended


def obstacles(context: Context, record: state.State) -> list[str]:
    """Return what of a recorded host does not answer."""
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("the registry does not answer", registry.Client(record.registry).is_ready),
        ("the engine does not answer", lambda: engine.is_ready(context.folders.socket)),
        ("the other platform is not emulated", lambda: _is_emulated(context)),
    )
    return [obstacle for obstacle, is_fine in checks if not is_fine()]


def _is_emulated(context: Context) -> bool:
    foreign = next(name for name in standins.ARCHITECTURES if name != machine.architecture())
    return binfmt.serving_entry(binfmt.read_entries(), foreign, _entry_name(context)) is not None

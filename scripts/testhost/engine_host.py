"""The test host on a machine that has a Docker engine of its own: only a registry is added. [io]"""

from __future__ import annotations

from . import engine, registry, state
from .context import Context
from .decide import Kind
from .errors import HostError
from .process import demand

IMAGE = "registry:2"
START = (
    "docker",
    "run",
    "--detach",
    "--publish=127.0.0.1::5000",
    "--env=REGISTRY_STORAGE_DELETE_ENABLED=true",
    IMAGE,
)


def up(context: Context, known: state.State | None) -> state.State:
    """Have a registry container run, the recorded one if it still does; one that is started is tried out first."""
    if known is not None and registry.Client(known.registry).is_ready():
        return known
    if known is not None:
        down(context, known)
    container = demand(context.runner, START, what="the registry's container does not start").strip()
    try:
        address = _await_address(context, container)
        engine.probe(address, context.folders.run / "probe", context.runner, {})
    except HostError:
        _remove(context, container)
        raise
    context.say(f"the registry answers on {address}")
    return state.State(kind=Kind.ENGINE, registry=address, container=container)


def _await_address(context: Context, container: str) -> str:
    ports = demand(context.runner, ("docker", "port", container, "5000/tcp"), what="the registry has no port")
    address = parse_port(ports)
    if not registry.Client(address).await_ready(seconds=30):
        log = context.runner(("docker", "logs", container))
        raise HostError("the registry's container does not answer", detail=log.out + log.err)
    return address


def parse_port(ports: str) -> str:
    """Return the first loopback address in what `docker port` prints."""
    for line in ports.splitlines():
        if line.startswith("127.0.0.1:"):
            return line.strip()
    raise HostError("the registry is not published on the loopback interface", detail=ports)


def down(context: Context, known: state.State) -> list[str]:
    """Remove the registry's container, and return what was removed."""
    return [f"container {known.container[:12]}"] if _remove(context, known.container) else []


def _remove(context: Context, container: str) -> bool:
    return context.runner(("docker", "rm", "--force", "--volumes", container)).code == 0


def obstacles(context: Context, known: state.State) -> list[str]:
    """Return what of a recorded host does not answer."""
    found = [] if registry.Client(known.registry).is_ready() else ["the registry does not answer"]
    if context.runner(("docker", "version"), timeout=30).code:
        found.append("the engine does not answer")
    return found

"""An image's config, patched as JSON: what the instructions that change only metadata do to it.

The rules are those of BuildKit's frontend/dockerfile/dockerfile2llb/convert.go (`dispatchEnv` and its kin) and of its
exporter/containerimage/writer.go. Keys that nobody here knows survive.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, assert_never

import msgspec
from msgspec import Struct

from buildonce.assemble.config_shape import check_shape
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.gotext import duration, encode_go_json, plain_list, quote_list
from buildonce.dockerfile.syntax import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from buildonce.errors import AssemblyError
from buildonce.oci import Platform, parse_platform

Config: TypeAlias = dict[str, Any]
"""An image config as decoded JSON."""

MetadataInstruction: TypeAlias = (
    Arg
    | Cmd
    | Entrypoint
    | Env
    | Expose
    | Healthcheck
    | Label
    | Maintainer
    | Onbuild
    | Shell
    | Stopsignal
    | User
    | Volume
    | Workdir
)

COMMENT: Final = "buildkit.dockerfile.v0"
DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEFAULT_SHELL: Final = ("/bin/sh", "-c")

_CONFIG_ORDER: Final = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
)
_HEALTH_ORDER: Final = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
_HISTORY_ORDER: Final = ("created", "created_by", "author", "comment", "empty_layer")
_ROOTFS_ORDER: Final = ("type", "diff_ids")
_NOTES: Final = frozenset({"id", "parent", "container", "container_config", "docker_version", "throwaway", "Size"})
_CONTAINER_NOTES: Final = frozenset(
    {
        "Hostname",
        "Domainname",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "Image",
        "NetworkDisabled",
        "MacAddress",
        "PublishService",
        "VolumeDriver",
        "Memory",
        "MemorySwap",
        "CpuShares",
        "CpuSet",
    }
)
_SORTED: Final = ("ExposedPorts", "Volumes", "Labels")


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One entry of an image's history."""

    created_by: str
    empty_layer: bool
    comment: str = COMMENT

    def to_json(self, created: str) -> Config:
        """Return the entry as JSON, with its time."""
        entry: Config = {"created": created, "created_by": self.created_by, "comment": self.comment}
        return entry | {"empty_layer": True} if self.empty_layer else entry


def decode_config(content: bytes) -> Config:
    """Return an image config; raise `AssemblyError` if ``content`` is none."""
    try:
        check_shape(content)
        config: Config = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AssemblyError(f"an image's config cannot be read: {error}") from error
    return config


def encode_config(config: Mapping[str, Any]) -> bytes:
    """Return a config as BuildKit writes it: keys in Go's order, empty values of the specification's keys left out."""
    settings = _ordered(config.get("config") or {}, _CONFIG_ORDER)
    for key in _SORTED:
        if key in settings:
            settings[key] = dict(sorted(settings[key].items()))
    if "Healthcheck" in settings:
        settings["Healthcheck"] = _ordered(settings["Healthcheck"], _HEALTH_ORDER)
    history = [_ordered(entry, _HISTORY_ORDER) for entry in config.get("history") or ()]
    rootfs = config.get("rootfs") or {}
    whole = {
        **config,
        "config": settings,
        "history": history or None,
        "rootfs": {"type": "layers", "diff_ids": rootfs.get("diff_ids") or None}
        | {key: rootfs[key] for key in sorted(rootfs) if key not in _ROOTFS_ORDER},
    }
    return encode_go_json(dict(sorted(whole.items())))


def scratch_config(platform: Platform) -> bytes:
    """Return the config that BuildKit begins with for ``FROM scratch``."""
    config = {
        "architecture": platform.architecture,
        "config": {"Env": [DEFAULT_PATH], "WorkingDir": "/"},
        "os": platform.os,
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    return encode_config(config | ({"variant": platform.variant} if platform.variant else {}))


def begin_stage(content: bytes, platform: Platform) -> bytes:
    """Return an external image's config as that of a stage that begins from it has it, before its first instruction."""
    return encode_config(for_platform(with_default_path(_without_notes(decode_config(content))), platform))


def with_default_path(config: Config) -> Config:
    """Return ``config`` with a PATH, which BuildKit adds to every stage whose base has none (but not on Windows)."""
    env = _settings(config).get("Env") or []
    if config.get("os") == "windows" or any(one.partition("=")[0] == "PATH" for one in env):
        return config
    return _with(config, Env=[*env, DEFAULT_PATH])


def for_platform(config: Config, platform: Platform) -> Config:
    """Return ``config`` as that of an image for ``platform``, whatever the base's own: FROM can name another one.

    A variant of the same architecture stays where ``platform`` has none, unless it says nothing, as arm64's v8 (see
    convert.go, at the end of toDispatchState).
    """
    is_same = (config.get("os"), config.get("architecture")) == (platform.os, platform.architecture)
    kept = config if is_same else {k: v for k, v in config.items() if k not in ("variant", "os.version")}
    variant = platform.variant or str(kept.get("variant") or "")
    named = "/".join(part for part in (platform.os, platform.architecture, variant) if part)
    normal = parse_platform(named).variant
    rest = {key: value for key, value in kept.items() if key != "variant"}
    return {**rest, "os": platform.os, "architecture": platform.architecture, **({"variant": normal} if normal else {})}


def working_directory(config: Config) -> str:
    """Return the working directory in force, ``/`` if none is set."""
    return _settings(config).get("WorkingDir") or "/"


def resolve_workdir(config: Config, path: str) -> str:
    """Return what WORKDIR makes of ``path``: absolute ones as written, relative ones below the one in force.

    See BuildKit, util/system/path.go, `NormalizeWorkdir`.
    """
    parent = posixpath.join("/", working_directory(config))
    if path.startswith("/"):
        return path
    joined = posixpath.normpath(posixpath.join(parent, path)) if path else parent
    return joined[1:] if joined.startswith("//") else joined


def apply_metadata(
    config: Config, instruction: MetadataInstruction, *, cmd_is_set: bool = False
) -> tuple[Config, HistoryEntry | None]:
    """Return ``config`` after an expanded ``instruction``, and its entry in the history, of which ONBUILD has none.

    ``cmd_is_set`` says that the stage had a CMD before, which an ENTRYPOINT then leaves in place. A WORKDIR's entry
    claims a layer, unless it goes to ``/``. The instruction is valid: expansion has checked it.
    """
    changed, text = _apply(config, instruction, cmd_is_set=cmd_is_set)
    if isinstance(instruction, Onbuild):
        return changed, None
    makes_layer = isinstance(instruction, Workdir) and working_directory(changed) != "/"
    return changed, HistoryEntry(created_by=text, empty_layer=not makes_layer)


def _apply(config: Config, instruction: MetadataInstruction, *, cmd_is_set: bool) -> tuple[Config, str]:  # noqa: C901
    settings = _settings(config)
    match instruction:
        case Env(pairs=pairs):
            return _with(config, Env=_with_env(settings.get("Env") or [], pairs)), f"ENV {_pairs(pairs)}"
        case Label(pairs=pairs):
            return _with(config, Labels={**(settings.get("Labels") or {}), **dict(pairs)}), f"LABEL {_pairs(pairs)}"
        case Arg(pairs=pairs):
            words = (name if value is None else f"{name}={value}" for name, value in pairs)
            return config, f"ARG {' '.join(words)}"
        case Cmd():
            command = _command(settings, instruction)
            return _with(config, Cmd=command, ArgsEscaped=True), f"CMD {quote_list(command)}"
        case Entrypoint():
            command = _command(settings, instruction)
            changed = _with(config, Entrypoint=command)
            return changed if cmd_is_set else _with(changed, Cmd=None), f"ENTRYPOINT {quote_list(command)}"
        case Expose(ports=ports):
            exposed = {**(settings.get("ExposedPorts") or {}), **{port: {} for port in ports}}
            return _with(config, ExposedPorts=exposed), f"EXPOSE {plain_list(ports)}"
        case Volume(paths=paths):
            volumes = {**(settings.get("Volumes") or {}), **{path: {} for path in paths}}
            return _with(config, Volumes=volumes), f"VOLUME {plain_list(paths)}"
        case User(user=user):
            return _with(config, User=user), f"USER {user}"
        case Workdir(path=path):
            directory = resolve_workdir(config, path)
            return _with(config, WorkingDir=directory), f"WORKDIR {directory}"
        case Stopsignal(signal=signal):
            return _with(config, StopSignal=signal), f"STOPSIGNAL {signal}"
        case Shell(shell=shell):
            return _with(config, Shell=list(shell)), f"SHELL {plain_list(shell)}"
        case Healthcheck():
            return _with(config, Healthcheck=_health(instruction)), f"HEALTHCHECK {_health_text(instruction)}"
        case Maintainer(name=name):
            return {**config, "author": name}, f"MAINTAINER {name}"
        case Onbuild(expression=expression):
            return _with(config, OnBuild=[*(settings.get("OnBuild") or []), expression]), ""
        case _:
            assert_never(instruction)


def add_labels(config: Config, labels: Mapping[str, str]) -> Config:
    """Return ``config`` with labels over its own, as ``--label`` adds them: without an entry in the history.

    See BuildKit's frontend/dockerfile/dockerfile2llb/convert.go (`opt.Labels`).
    """
    return _with(config, Labels={**(_settings(config).get("Labels") or {}), **labels}) if labels else config


def _without_notes(config: Config) -> Config:
    """Return ``config`` without what Docker's old builder noted of the container that it ran; BuildKit drops that."""
    kept = {key: value for key, value in config.items() if key not in _NOTES}
    settings = {key: value for key, value in _settings(config).items() if key not in _CONTAINER_NOTES}
    return {**kept, "config": settings} if config.get("config") else kept


def _settings(config: Config) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = config.get("config") or {}
    return settings


def _with(config: Config, **changes: object) -> Config:
    return {**config, "config": {**_settings(config), **changes}}


def _with_env(env: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[str]:
    changed = list(env)
    for name, value in pairs:
        index = next((i for i, one in enumerate(changed) if one.partition("=")[0] == name), len(changed))
        changed[index : index + 1] = [f"{name}={value}"]
    return changed


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return " ".join(f"{name}={value}" for name, value in pairs)


def _command(settings: Mapping[str, Any], instruction: Cmd | Entrypoint) -> list[str]:
    if not instruction.shell_form:
        return list(instruction.command)
    return [*(settings.get("Shell") or _DEFAULT_SHELL), " ".join(instruction.command)]


def _health(check: Healthcheck) -> Config:
    return {
        "Test": list(check.test),
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }


def _health_text(check: Healthcheck) -> str:
    times = (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    )
    text = " ".join(f"{name}:{duration(time)}" for name, time in times)
    return f"{{Test:{plain_list(check.test)} {text} Retries:{check.retries}}}"


def _ordered(value: Mapping[str, Any], order: Sequence[str]) -> Config:
    """Return known keys in their order, without empty values (Go's ``omitempty``), then the others as they sort."""
    if not isinstance(value, Mapping):
        raise NotExpressible("a base's config has a value of another kind than the specification says")
    known = {key: value[key] for key in order if value.get(key)}
    return known | {key: value[key] for key in sorted(value) if key not in order}

"""The types that the keys of an image config have (image-spec, config.md, and Docker's additions to it)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

_Strings = list[str] | None
_Keys = dict[str, Any] | None


class _Health(Struct, frozen=True, rename="pascal"):
    test: _Strings = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class _Settings(Struct, frozen=True, rename="pascal"):
    user: str | None = None
    exposed_ports: _Keys = None
    env: _Strings = None
    entrypoint: _Strings = None
    cmd: _Strings = None
    volumes: _Keys = None
    working_dir: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    args_escaped: bool | None = None
    healthcheck: _Health | None = None
    on_build: _Strings = None
    shell: _Strings = None


class _History(Struct, frozen=True):
    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _Rootfs(Struct, frozen=True):
    type: str | None = None
    diff_ids: _Strings = None


class _Shape(Struct, frozen=True):
    created: str | None = None
    author: str | None = None
    architecture: str | None = None
    os: str | None = None
    variant: str | None = None
    os_version: str | None = field(default=None, name="os.version")
    os_features: _Strings = field(default=None, name="os.features")
    config: _Settings | None = None
    rootfs: _Rootfs | None = None
    history: list[_History] | None = None


def check_shape(content: bytes) -> None:
    """Raise `msgspec.ValidationError` or another decoding error unless ``content`` can be an image config."""
    msgspec.json.decode(content, type=_Shape)

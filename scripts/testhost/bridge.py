"""A network bridge of the engine's own, so that it needs none that another engine may have made. [io]"""

from __future__ import annotations

import fcntl
import socket
import struct
from pathlib import Path

from .errors import HostError

# From Linux's <linux/sockios.h>.
SIOCSIFFLAGS = 0x8914
SIOCBRADDBR = 0x89A0
SIOCBRDELBR = 0x89A1

INTERFACES = Path("/sys/class/net")


def exists(name: str) -> bool:
    """Whether there is such a bridge."""
    return (INTERFACES / name).exists()


def ensure(name: str) -> None:
    """Make the bridge, if there is none; the engine gives it an address."""
    if exists(name):
        return
    try:
        _control(SIOCBRADDBR, name.encode() + b"\0")
    except OSError as error:
        raise HostError(f"the network bridge {name} cannot be made", detail=str(error)) from error


def remove(name: str) -> bool:
    """Remove the bridge; False if there is none."""
    if not exists(name):
        return False
    # A bridge that is up is not removed: take all flags from it first.
    _control(SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), 0))
    _control(SIOCBRDELBR, name.encode() + b"\0")
    return True


def _control(request: int, argument: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as control:
        fcntl.ioctl(control, request, argument)

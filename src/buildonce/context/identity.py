"""What a file system says of a file, as `scanning` packs it. Pure."""

from __future__ import annotations

import os
import struct

from buildonce.context import scanning

STATE = struct.Struct("=2Q3q2Q")
"""The fields of a state; sizes and times are signed."""

_NUMBER = struct.Struct("=Q")
_CHANGED_AT = 32


def identify(state: os.stat_result) -> bytes:
    """Return a ``stat`` result as a scan has it, in `scanning.SIZE` bytes."""
    return scanning.pack(scanning.fields_of(state))


def inode_of(identity: bytes) -> bytes:
    """Return device and inode, which hard links to a file share."""
    return identity[:16]


def device_of(identity: bytes) -> bytes:
    """Return the device, as `pack_device` does."""
    return identity[:8]


def pack_device(device: int) -> bytes:
    """Return the device of a ``stat`` result as identities have it."""
    return scanning.pack((device,))


def changed_at(identity: bytes) -> int:
    """Return the time of change, in nanoseconds since the epoch; one before it counts as far in the future."""
    changed: int = _NUMBER.unpack_from(identity, _CHANGED_AT)[0]
    return changed

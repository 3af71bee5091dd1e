"""What a file system says of a file: enough to see any change of its content, unless that was too recent. Pure."""

from __future__ import annotations

import os
import struct

_FIELDS = struct.Struct("=QQQQQI")
_64_BITS = (1 << 64) - 1
_CHANGED = struct.Struct("=Q")
_CHANGED_AT = 32

SIZE = _FIELDS.size
"""Bytes of an identity."""


def identify(state: os.stat_result) -> bytes:
    """Return device, inode, size, times of modification and change in nanoseconds, and mode, in `SIZE` bytes.

    Every program can set the time of modification; the time of change is the kernel's.
    """
    return _FIELDS.pack(
        state.st_dev & _64_BITS,
        state.st_ino & _64_BITS,
        state.st_size,
        state.st_mtime_ns & _64_BITS,
        state.st_ctime_ns & _64_BITS,
        state.st_mode,
    )


def inode_of(identity: bytes) -> bytes:
    """Return device and inode, which hard links to a file share."""
    return identity[:16]


def device_of(identity: bytes) -> bytes:
    """Return the device, as `pack_device` does."""
    return identity[:8]


def pack_device(device: int) -> bytes:
    """Return the device of a ``stat`` result as identities have it."""
    return _CHANGED.pack(device & _64_BITS)


def changed_at(identity: bytes) -> int:
    """Return the time of change, in nanoseconds since the epoch; one before it counts as far in the future."""
    changed: int = _CHANGED.unpack_from(identity, _CHANGED_AT)[0]
    return changed

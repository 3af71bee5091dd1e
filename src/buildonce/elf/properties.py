"""The note in which a compiler says what the processor must be able to do (x86-64 psABI, "Program Property")."""

from __future__ import annotations

import struct

_NOTE_TYPE = 5
_ISA_NEEDED = 0xC0008002


def x86_level(note: bytes, *, wide: bool) -> int:
    """Return the x86-64 level (1 to 4) that ``note`` asks for, 0 if it does not say."""
    if len(note) < 16 or struct.unpack_from("<II", note, 4)[1] != _NOTE_TYPE or note[12:16] != b"GNU\0":
        return 0
    at, end = 16, min(len(note), 16 + struct.unpack_from("<I", note, 4)[0])
    step = 8 if wide else 4
    while at + 8 <= end:
        kind, size = struct.unpack_from("<II", note, at)
        if kind == _ISA_NEEDED and size == 4 and at + 12 <= end:
            levels: int = struct.unpack_from("<I", note, at + 8)[0]
            return (levels & 0xF).bit_length()
        at += 8 + -(-size // step) * step
    return 0

"""The 512 bytes before each file of a tar archive, parsed as Go's archive/tar parses them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct, field
from msgspec.structs import replace

from buildonce.errors import ArchiveError

BLOCK = 512

_NUMBERS = ("size", "uid", "gid")


class Header(Struct, frozen=True, kw_only=True):
    """One header; names and links are bytes, ``records`` what extension headers add to it."""

    name: bytes
    type: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    device: tuple[int, int]
    records: Mapping[str, bytes] = field(default_factory=dict)

    def extended(self, records: Mapping[str, bytes]) -> Header:
        """Return this header with the values of PAX ``records`` in place of its own."""
        if not records:
            return self
        if any(key.startswith("GNU.sparse.") for key in records):
            raise ArchiveError("a layer has a sparse file, which no image has")
        numbers = {key: _decimal(records[key]) for key in _NUMBERS if records.get(key)}
        return replace(
            self,
            name=records.get("path") or self.name,
            link=records.get("linkpath") or self.link,
            uid=numbers.get("uid", self.uid),
            gid=numbers.get("gid", self.gid),
            size=numbers.get("size", self.size),
            mtime=_seconds(records["mtime"]) if records.get("mtime") else self.mtime,
            records=records,
        )


def header_padding(size: int) -> int:
    """Return the number of bytes between the end of ``size`` bytes of data and the next header."""
    return -size % BLOCK


def parse_header(block: bytes) -> Header:
    """Return what 512 bytes say; raise `ArchiveError` if they are no header."""
    if not _has_checksum(block):
        raise ArchiveError("a layer is no tar archive: the checksum of a header is wrong")
    magic = block[257:265]
    is_ustar = magic[:6] == b"ustar\0"
    is_gnu = magic == b"ustar  \0"
    prefix = _prefix(block, is_ustar=is_ustar, is_gnu=is_gnu)
    name = _string(block[:100])
    size = _number(block[124:136])
    if size < 0:
        raise ArchiveError("a layer has a file of less than no bytes")
    return Header(
        name=prefix + b"/" + name if prefix else name,
        type=block[156:157],
        link=_string(block[157:257]),
        mode=_number(block[100:108]),
        uid=_number(block[108:116]),
        gid=_number(block[116:124]),
        size=size,
        mtime=_number(block[136:148]),
        device=(_number(block[329:337]), _number(block[337:345])) if is_ustar or is_gnu else (0, 0),
    )


def _has_checksum(block: bytes) -> bool:
    """Say whether a header's checksum is the sum of its bytes; old writers took them as signed."""
    stored = _number(block[148:156])
    field = block[148:156]
    total = sum(block) - sum(field) + 8 * ord(" ")
    if stored == total:
        return True
    return stored == total - 256 * (sum(byte > 127 for byte in block) - sum(byte > 127 for byte in field))


def _prefix(block: bytes, *, is_ustar: bool, is_gnu: bool) -> bytes:
    """Return what comes before the name and a slash; raise `ArchiveError` where readers do not agree on it."""
    if is_ustar:
        end = 476 if block[508:512] == b"tar\0" else 500  # star keeps two times behind a shorter prefix
        return _string(block[345:end])
    if is_gnu and any(block[345:369]):
        # GNU has two times here; an old writer wrote a prefix, which archive/tar takes for one if it is no number.
        for place in (345, 357):
            _number(block[place : place + 12])
    return b""


def _string(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


@lru_cache(4096)  # modes, owners and times are the same in most headers
def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        value &= (1 << (bits - 1)) - 1
        if field[0] & 0x40:
            value -= 1 << (bits - 1)
        if not -(1 << 63) <= value < 1 << 63:
            raise ArchiveError("a header of a layer has too large a number")
        return value
    text = field.strip(b" \0")
    if not text:
        return 0
    text = text.partition(b"\0")[0]
    if text.translate(None, b"01234567"):
        raise ArchiveError("a header of a layer has a malformed number")
    return int(text, 8)


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise ArchiveError("a layer has a malformed number in a PAX record")
    return int(value)


def _seconds(value: bytes) -> int:
    """Return a PAX time in whole seconds, rounded down."""
    whole, dot, fraction = value.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18 or (dot and fraction and not fraction.isdigit()):
        raise ArchiveError("a layer has a malformed time in a PAX record")
    seconds = int(whole)
    return seconds - 1 if whole.startswith(b"-") and fraction.strip(b"0") else seconds

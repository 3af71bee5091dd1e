"""The 512 bytes before each file of a tar archive, and PAX records: parsed as Go's archive/tar parses them."""

from __future__ import annotations

from collections.abc import Mapping

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
    stored = _number(block[148:156])
    if not _is_checksum(stored, block[:148] + b" " * 8 + block[156:]):
        raise ArchiveError("a layer is no tar archive: the checksum of a header is wrong")
    magic = block[257:265]
    is_ustar = magic[:6] == b"ustar\0"
    prefix = _string(block[345:500]) if is_ustar else b""
    name = _string(block[:100])
    is_known = is_ustar or magic == b"ustar  \0"
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
        device=(_number(block[329:337]), _number(block[337:345])) if is_known else (0, 0),
    )


def parse_records(data: bytes) -> dict[str, bytes]:
    """Return PAX records (``length key=value newline``, again and again)."""
    records: dict[str, bytes] = {}
    while data:
        length_text, space, _ = data.partition(b" ")
        if not space or not length_text.isdigit() or len(length_text) > 10:
            raise ArchiveError("a layer has a malformed PAX record")
        length = int(length_text)
        if length > len(data):
            raise ArchiveError("a layer has a PAX record that is cut off")
        record, data = data[len(length_text) + 1 : length], data[length:]
        key, equals, value = record[:-1].partition(b"=")
        if length <= len(length_text) + 1 or record[-1:] != b"\n" or not equals or not key:
            raise ArchiveError("a layer has a malformed PAX record")
        if b"\0" in (value if key in (b"path", b"linkpath") else key):
            raise ArchiveError("a layer has a PAX record with a zero byte")
        records[key.decode("utf-8", "surrogateescape")] = value
    return records


def _is_checksum(stored: int, block: bytes) -> bool:
    """Say whether ``stored`` is the sum of the bytes; old writers took them as signed."""
    total = sum(block)
    return stored == total or stored == total - 256 * sum(byte > 127 for byte in block)


def _string(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


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
    text = field.strip(b" \0").split(b"\0")[0]
    if not text:
        return 0
    if not all(0x30 <= byte < 0x38 for byte in text):
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

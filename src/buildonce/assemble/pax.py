"""The headers that extend the next header of a tar archive: PAX records, and GNU's long names and links."""

from __future__ import annotations

from buildonce.assemble import limits
from buildonce.errors import ArchiveError

_LENGTH_DIGITS = 10
_TEXTS = (b"path", b"linkpath", b"uname", b"gname")


class Extensions:
    """What the headers of these kinds say of the header that follows them."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.seen: set[bytes] = set()

    def add(self, kind: bytes, data: bytes) -> None:
        """Take one."""
        self.seen.add(kind)
        if kind == b"x":
            self.records = parse_records(data)
        else:
            self.records["path" if kind == b"L" else "linkpath"] = data.partition(b"\0")[0]

    def check_next(self, kind: bytes) -> None:
        """Raise `ArchiveError` if an extension of this kind may not follow: readers do not agree on what it means."""
        if kind in self.seen or (b"x" in self.seen) or (self.seen and kind in b"xg"):
            raise ArchiveError("a layer has extension headers that contradict each other")


def parse_records(data: bytes) -> dict[str, bytes]:
    """Return PAX records (``length key=value newline``, again and again)."""
    records: dict[str, bytes] = {}
    start = count = 0
    while start < len(data):
        count += 1
        if count > limits.RECORDS:
            raise ArchiveError(f"an extended header of a layer has more than {limits.RECORDS} records")
        key, value, start = _record(data, start)
        if b"\0" in (value if key in _TEXTS else key):
            raise ArchiveError("a layer has a PAX record with a zero byte")
        records[key.decode("utf-8", "surrogateescape")] = value
    return records


def _record(data: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Return the key and the value of the record at ``start``, and where it ends."""
    space = data.find(b" ", start, start + _LENGTH_DIGITS + 1)
    length_text = data[start:space] if space > start else b""
    if not length_text.isdigit():
        raise ArchiveError("a layer has a malformed PAX record")
    end = start + int(length_text)
    if end > len(data):
        raise ArchiveError("a layer has a PAX record that is cut off")
    key, equals, value = data[space + 1 : end - 1].partition(b"=")
    if end <= space + 1 or data[end - 1 : end] != b"\n" or not equals or not key:
        raise ArchiveError("a layer has a malformed PAX record")
    return key, value, end

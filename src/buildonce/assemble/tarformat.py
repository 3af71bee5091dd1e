"""The bytes of layer archives: what Go's archive/tar gives for FormatPAX, as containerd's differ uses it.

The rules are those of archive/tar's `Writer.WriteHeader`: plain ustar where everything fits, else an extended header
with sorted records before a header that has what fits.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from buildonce.assemble.entries import Entry, EntryType, encode_name
from buildonce.assemble.headers import BLOCK, header_padding
from buildonce.errors import AssemblyError

END = bytes(2 * BLOCK)

_NAME, _PREFIX, _RECORDS_LIMIT = 100, 155, 1 << 20
_CAPABILITY = b"SCHILY.xattr.security.capability"
_HARD_LINK = b"1"


def tar_headers(entries: Iterable[Entry]) -> Iterator[tuple[bytes, Entry | None]]:
    """Yield the bytes before each entry's data, with the entry if it has data; the end of the archive is `END`.

    The data of a regular file follows its header, then zeros up to a multiple of 512 (`header_padding`).
    """
    for entry in entries:
        has_data = entry.type is EntryType.FILE and not entry.hardlink and entry.size > 0
        yield header_bytes(entry), entry if has_data else None


def padding(entry: Entry) -> bytes:
    """Return the zeros after an entry's data."""
    return bytes(header_padding(entry.size))


def header_bytes(entry: Entry) -> bytes:
    """Return the header blocks of one entry, an extended header included if one is needed."""
    name = encode_name(entry.path) + (b"/" if entry.is_directory and not entry.hardlink else b"")
    link = encode_name(entry.hardlink or entry.link or "")
    if b"\0" in name or b"\0" in link:
        raise AssemblyError(f"`{entry.path}` has a zero byte in its name or target")
    size = entry.size if entry.type is EntryType.FILE and not entry.hardlink else 0
    records = _records(entry, name=name, link=link, size=size)
    type_flag = _HARD_LINK if entry.hardlink else entry.type.value.encode()
    device = entry.device or (0, 0)
    split = _split(name)
    if entry.capability is None and records.keys() <= {b"path"} and (not records or split):
        prefix, short = split or (b"", name)
        return _block(short, link, type_flag, prefix=prefix, entry=entry, size=size, device=device)
    main = _block(_ascii(name), _ascii(link), type_flag, prefix=b"", entry=entry, size=size, device=device)
    return (_extended_header(name, records) if records else b"") + main


def _records(entry: Entry, *, name: bytes, link: bytes, size: int) -> dict[bytes, bytes]:
    """Return the PAX records that the fields of a plain header cannot hold, or that have no field."""
    texts = {b"path": name, b"linkpath": link}
    records = {key: text for key, text in texts.items() if len(text) > _NAME or not text.isascii()}
    for key, number, width in ((b"uid", entry.uid, 8), (b"gid", entry.gid, 8), (b"size", size, 12)):
        if not _fits(number, width):
            records[key] = b"%d" % number
    if not _fits(entry.mtime, 12):
        records[b"mtime"] = b"%d" % entry.mtime
    if entry.capability:
        records[_CAPABILITY] = entry.capability
    if not all(_fits(number, 8) for number in entry.device or ()):
        raise AssemblyError(f"the device number of `{entry.path}` does not fit into an archive")
    return records


def _block(
    name: bytes, link: bytes, type_flag: bytes, *, prefix: bytes, entry: Entry, size: int, device: tuple[int, int]
) -> bytes:
    fields = (
        _text(name, _NAME),
        _octal(entry.mode, 8),
        _octal(entry.uid, 8),
        _octal(entry.gid, 8),
        _octal(size, 12),
        _octal(entry.mtime, 12),
        b" " * 8,
        type_flag,
        _text(link, _NAME),
        b"ustar\x0000",
        bytes(64),
        _octal(device[0], 8),
        _octal(device[1], 8),
        prefix,
    )
    return _sealed(b"".join(fields))


def _extended_header(name: bytes, records: dict[bytes, bytes]) -> bytes:
    data = b"".join(_record(key, records[key]) for key in sorted(records))
    if len(data) > _RECORDS_LIMIT:
        raise AssemblyError(f"the extended header of `{name[:100]!r}` is too long for an archive")
    directory, _, file = name.rpartition(b"/")
    own = posixpath.normpath(posixpath.join(directory, b"PaxHeaders.0", file))
    fields = (
        _text(_ascii(own)[:_NAME].rstrip(b"/"), _NAME),
        _octal(0, 8),
        _octal(0, 8),
        _octal(0, 8),
        _octal(len(data), 12),
        _octal(0, 12),
        b" " * 8,
        b"x",
        bytes(_NAME),
        b"ustar\x0000",
    )
    return _sealed(b"".join(fields)) + data + bytes(header_padding(len(data)))


def _record(key: bytes, value: bytes) -> bytes:
    """Return ``length key=value newline``, the length counting itself."""
    length = len(key) + len(value) + 3
    total = length + len(str(length))
    if len(str(total)) > len(str(length)):
        total += 1
    return b"%d %b=%b\n" % (total, key, value)


def _sealed(header: bytes) -> bytes:
    block = header.ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _text(text: bytes, width: int) -> bytes:
    """Return a field; a name cut at a slash loses the slash, so that no reader takes a file for a directory."""
    if len(text) > width and text[width - 1 : width] == b"/":
        cut = len(text[: width - 1].rstrip(b"/"))
        return text[:cut] + b"\0" + text[cut + 1 : width]
    return text[:width].ljust(width, b"\0")


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number if _fits(number, width) else 0)


def _fits(number: int, width: int) -> bool:
    return 0 <= number < 1 << 3 * (width - 1)


def _ascii(text: bytes) -> bytes:
    return bytes(byte for byte in text if byte < 0x80)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return a name of more than 100 bytes as ustar's prefix and name, if it can be."""
    if len(name) <= _NAME or not name.isascii():
        return None
    length = min(len(name), _PREFIX + 1) if len(name) > _PREFIX + 1 else len(name) - name.endswith(b"/")
    cut = name[:length].rfind(b"/")
    rest = len(name) - cut - 1
    if cut <= 0 or not 0 < rest <= _NAME or cut > _PREFIX:
        return None
    return name[:cut], name[cut + 1 :]

"""Decoys: files with the names, types, modes, owners and links of others, but with other contents. Pure.

What a RUN does with a decoy shows what it does with contents. A decoy is a script that leaves a mark if it is run, as a
program or as a part of another script: a file in every directory that may be there and may be written to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from buildonce.assemble.entries import Content, Entry, EntryType, name_of
from buildonce.assemble.tree import Tree
from buildonce.oci import digest_of

MARK = ".buildonce-ran-"
"""How the names begin of the files that a decoy writes; its own name follows, with plain characters alone."""

_SCRIPT = """\
#!/bin/sh
for folder in / /etc /var /var/tmp /tmp /usr /opt "$HOME" .; do
  (: > "$folder/{mark}{name}") 2> /dev/null
done
exit 0
# in the place of {path}
"""


def make_decoy(tree: Tree, path: Path) -> tuple[Tree, bytes]:
    """Return a tree like ``tree`` with other contents, and those contents, which belong into the file ``path``."""
    contents: list[bytes] = []
    heads: dict[str, Entry] = {}
    offset = 0
    for entry in tree.entries():
        if entry.type is EntryType.FILE and entry.hardlink is None:
            content = _other_content(entry)
            place = Content(path=path, offset=offset, size=len(content))
            heads[entry.path] = replace(entry, size=len(content), digest=digest_of(content), content=place)
            contents.append(content)
            offset += len(content)
    return Tree(dict(_replaced(tree, heads)), scope=tree.scope), b"".join(contents)


def _replaced(tree: Tree, heads: dict[str, Entry]) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of ``tree`` with the contents of ``heads``; a second name has what the first one has."""
    for path, entry in tree.items():
        head = heads.get(entry.hardlink or path)
        if head is None:
            yield path, entry
        else:
            yield path, replace(entry, size=head.size, digest=head.digest, content=head.content)


def _other_content(entry: Entry) -> bytes:
    name = re.sub(r"[^\w.+-]", "_", name_of(entry.path), flags=re.ASCII)
    path = entry.path.replace("\n", "_")
    content = _SCRIPT.format(mark=MARK, name=name, path=path).encode("utf-8", "surrogateescape")
    return content + b"#\n" if len(content) == entry.size else content

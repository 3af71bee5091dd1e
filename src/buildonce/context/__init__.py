"""[io] A build context: which files a COPY or ADD takes from it, and what is in them.

The rules are those of BuildKit: the context is the directory without what its ignore file excludes
(vendor/github.com/tonistiigi/fsutil/filter.go), and a copy reads it like a root file system of its own, so no link
leads out of it (vendor/github.com/tonistiigi/fsutil/copy/copy.go).
"""

from buildonce.context.memory import Memory
from buildonce.context.opening import Context, open_context
from buildonce.context.problems import SourceMissing, SpecialFile
from buildonce.context.selecting import digest_selection, select
from buildonce.context.selection import Selected, Words, selection_digest

__all__ = [
    "Context",
    "Memory",
    "Selected",
    "SourceMissing",
    "SpecialFile",
    "Words",
    "digest_selection",
    "open_context",
    "select",
    "selection_digest",
]

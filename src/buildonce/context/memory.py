"""[io] What is known of the files of a build context: by this run, and by earlier ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from buildonce.context.known_files import KnownFiles
from buildonce.context.known_selections import KnownSelections
from buildonce.context.listings import Listings
from buildonce.context.trust import find_trust


class Memory:
    """What is known of the files below ``root``; ``folder`` keeps it from one run to the next."""

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        trust = find_trust(root) if folder is not None else None
        resolved = root.resolve()
        folder = folder or Path()
        self.listings = Listings(root)
        self.files = KnownFiles(folder / f"{_name(resolved)}.files", trust)
        self.selections = KnownSelections(folder, resolved, trust)


def _name(root: Path) -> str:
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:40]

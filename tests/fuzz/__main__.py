"""Fuzz one target with atheris: ``python -m tests.fuzz TARGET [option of libFuzzer]... [folder]...``.

Inputs that were found stay in the first folder. See README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["buildonce"]):
    from tests.fuzz.targets import TARGETS, run_target

DICTIONARY = Path(__file__).parent / "words.dict"


def main() -> None:
    """Run libFuzzer until it is stopped or finds something."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [libFuzzer's options and folders]")
    name, *options = sys.argv[1:]
    limits = [f"-dict={DICTIONARY}", "-timeout=30", "-rss_limit_mb=1024", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *limits, *options], lambda content: run_target(name, content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()

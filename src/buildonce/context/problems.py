"""What can be wrong with a build context."""

from __future__ import annotations

from buildonce.errors import ContextError


class SourceMissing(ContextError):
    """The context has no such file; ``source`` is the word of the instruction that asks for it."""

    code = "CONTEXT-MISSING"

    def __init__(self, message: str, *, source: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(message, help=help)
        self.source = source


class SpecialFile(ContextError):
    """A source holds a file that no image should hold; ``path`` is relative to the context."""

    code = "CONTEXT-SPECIAL"

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message, help="exclude it in the ignore file, or copy a narrower path")
        self.path = path


class UnnameableFile(ContextError):
    """A source holds a file whose name is not UTF-8: BuildKit cannot be sent it."""

    code = "CONTEXT-NAME"

    def __init__(self, message: str) -> None:
        super().__init__(message, help="rename it, or exclude it in the ignore file")

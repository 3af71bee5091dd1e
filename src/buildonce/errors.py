"""The error tree: one class per kind of failure, with its exit code on the class and its data in attributes.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 nothing to do (only if asked), 4 engine or registry
unavailable, 70 bug, 130 interrupted.
"""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """A failure that the user can understand and act on.

    ``message`` says what is wrong and where in one sentence, ``notes`` say why or what is affected, ``help`` says
    what to do next. The text is complete without colour and holds no secret.
    """

    code: ClassVar[str] = "ERROR"
    exit_code: ClassVar[int] = 1
    has_headline: ClassVar[bool] = False
    """Whether the text begins with the code already: each of several findings has its own."""

    def __init__(self, message: str, *, notes: tuple[str, ...] = (), help: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.message = message
        self.notes = notes
        self.help = help

    @property
    def report(self) -> str:
        """The whole error as users see it."""
        return str(self) if self.has_headline else f"error[{self.code}]: {self}"

    def __str__(self) -> str:
        lines = [self.message, *(f"  = note: {note}" for note in self.notes)]
        if self.help:
            lines.append(f"help: {self.help}")
        return "\n".join(lines)


class UsageError(Error):
    """The command line or the configuration asks for something that cannot be."""

    code = "USAGE"
    exit_code = 2


class NothingToFill(UsageError):
    """A field of a template for tags stands for nothing here: there is no such version, or no branch."""


class ConfigurationError(UsageError):
    """What a project declares, in a file or in the environment, cannot be; the message says where."""

    code = "CONFIGURATION"


class DockerfileError(Error):
    """A Dockerfile cannot be read as BuildKit would read it; ``diagnostics`` say where."""

    code = "DOCKERFILE"
    exit_code = 2
    has_headline = True


class ContextError(Error):
    """A build context lacks what a Dockerfile takes from it, or holds what no image can hold."""

    code = "CONTEXT"
    exit_code = 2


class EngineUnavailable(Error):
    """No build engine answers, or it cannot do what the plan needs."""

    code = "ENGINE-UNAVAILABLE"
    exit_code = 4


class EngineFailed(Error):
    """An engine ran and failed; ``lines`` are the last of its output.

    ``place`` is the Dockerfile and the line in it of the instruction that failed, if the engine names it.
    """

    code = "ENGINE-FAILED"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        lines: tuple[str, ...] = (),
        place: tuple[str, int] | None = None,
        notes: tuple[str, ...] = (),
        help: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(message, notes=notes, help=help)
        self.lines = lines
        self.place = place


class StoreError(Error):
    """A store (registry or OCI layout) cannot be read or written."""

    code = "STORE"
    exit_code = 1


class RegistryUnavailable(StoreError):
    """A registry cannot be reached, or does not answer as a registry does."""

    code = "REGISTRY-UNAVAILABLE"
    exit_code = 4


class RegistryFails(RegistryUnavailable):
    """A registry answers, and says again and again that it failed."""


class AuthenticationError(StoreError):
    """A registry refuses the credentials, or the right to do what was asked."""

    code = "REGISTRY-DENIED"
    exit_code = 4


class IntegrityError(StoreError):
    """Bytes do not match the digest or size under which they were asked for."""

    code = "INTEGRITY"


class DigestMismatch(IntegrityError):
    """Bytes are all there and do not match their digest."""


class DiskError(StoreError):
    """The disk is full or cannot be written."""

    code = "DISK"


class AssemblyError(Error):
    """An image cannot be assembled as BuildKit would have built it."""

    code = "ASSEMBLY"


class ArchiveError(AssemblyError):
    """A layer archive is malformed or hostile."""

    code = "ARCHIVE"


class DoesNotFit(Error):
    """A program does not run, or a library does not load, in an image that it is put into."""

    code = "FIT"


class StaleRelease(Error):
    """A staged release is older than what its tags point to by now."""

    code = "STALE-RELEASE"


class NotCompiled(Error):
    """A core is missing and compiling was forbidden."""

    code = "NO-COMPILE"


class PlanDiffers(Error):
    """A job's checkout is not the one that its plan was made from."""

    code = "PLAN-DIFFERS"


class NotInStore(StoreError):
    """A store does not hold what was asked for by its digest."""

    code = "NOT-IN-STORE"


class ContestedTags(StoreError):
    """Other runs keep moving the tags of a release while it is published."""

    code = "CONTESTED-TAGS"


class MissingBlobs(StoreError):
    """A registry refuses a manifest because something it refers to is not there; ``digests`` if it named it."""

    code = "MISSING-BLOBS"

    def __init__(self, message: str, *, digests: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.digests = digests

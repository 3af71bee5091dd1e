"""What can be wrong with a Dockerfile: codes, errors, and how they become messages that point at a place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from buildonce.diagnostics import Diagnostic, render_diagnostic
from buildonce.dockerfile.runes import SPACES
from buildonce.dockerfile.syntax import Dockerfile, Place, Span
from buildonce.errors import DockerfileError

PROBLEMS: Mapping[str, str] = MappingProxyType(
    {
        "DF001": "the file holds no instruction",
        "DF002": "the instruction is unknown",
        "DF003": "the `escape` directive is neither a backslash nor a backtick",
        "DF004": "a parser directive stands twice",
        "DF005": "a line is longer than BuildKit reads",
        "DF006": "a heredoc has no end",
        "DF007": "a heredoc stands where none can be",
        "DF008": "a JSON form holds something other than strings",
        "DF009": "an instruction has too few or too many arguments",
        "DF010": "the flag is unknown",
        "DF011": "a flag lacks its value, has a wrong one, or stands twice",
        "DF012": "no stage, image or named context has this name",
        "DF013": "quotes or variables cannot be read",
        "DF014": "something other than name=value stands in ENV, LABEL or ARG",
        "DF015": "the stage name is invalid",
        "DF016": "an instruction stands before the first FROM",
        "DF017": "the file has no stage",
        "DF018": "the name of a base image is empty once its variables are expanded",
        "DF019": "the platform is invalid",
        "DF020": "stages depend on each other in a circle",
        "DF021": "a stage uses one that is defined after it",
        "DF022": "no stage has this number",
        "DF023": "variables cannot be used here",
        "DF024": "a mount is invalid",
        "DF025": "a network, security or device setting is invalid",
        "DF026": "the instruction cannot be an ONBUILD trigger",
        "DF027": "a health check is invalid",
        "DF028": "SHELL needs the JSON form",
        "DF029": "a port is invalid",
        "DF030": "the signal is unknown",
        "DF031": "a volume has no path",
        "DF032": "the file mode is invalid",
        "DF033": "a variable that must be set is not",
        "DF034": "an ignore pattern is invalid",
        "DF035": "a base image's name is invalid",
        "DF037": "no stage can be added after the last instruction",
        "DF038": "a RUN holds bytes that are not UTF-8",
    }
)
"""Every code with what it means in one line."""


class SyntaxProblem(DockerfileError):
    """A Dockerfile that cannot be read or evaluated; `diagnostics` has every finding, in the file's order."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(diagnostics[0].message)
        self.diagnostics = tuple(diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(render_diagnostic(diagnostic) for diagnostic in self.diagnostics)


class Fault(DockerfileError):
    """Something wrong with a piece of text whose place only the caller knows; ``needle`` is what to underline."""

    def __init__(
        self,
        problem: str,
        message: str,
        *,
        needle: str = "",
        label: str = "",
        help: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(message, help=help)
        self.problem = problem
        self.needle = needle
        self.label = label


def suggest(word: str, options: Iterable[str]) -> str | None:
    """Return the option that ``word`` was most likely meant to be, or None."""
    import difflib

    found = difflib.get_close_matches(word, sorted(set(options) - {word}), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, options: Iterable[str], form: str = "{}") -> str | None:
    """Return a help text with the closest option put into ``form``, or None when none is close."""
    closest = suggest(word, options)
    return f"did you mean `{form.format(closest)}`?" if closest else None


def source_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a Dockerfile without line ends and byte-order mark, line 1 first."""
    return tuple(line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n"))


def locate(lines: Sequence[str], span: Span, needle: str) -> Place:
    """Return where ``needle`` first stands in the span after the keyword, or else the place of the keyword."""
    first = lines[span.start - 1] if 0 < span.start <= len(lines) else ""
    indent = len(first) - len(first.lstrip(SPACES))
    keyword = re.split(f"[{SPACES}]", first[indent:], maxsplit=1)[0]
    for number in range(span.start, min(span.end, len(lines)) + 1) if needle else ():
        column = lines[number - 1].find(needle, indent + len(keyword) if number == span.start else 0)
        if column >= 0:
            return Place(line=number, column=column + 1, width=len(needle))
    return Place(line=span.start, column=indent + 1, width=max(1, len(keyword)))


def diagnose(fault: Fault, *, path: str, lines: Sequence[str], span: Span) -> Diagnostic:
    """Return the fault as a finding at its place within the span."""
    place = locate(lines, span, fault.needle)
    return Diagnostic(
        code=fault.problem,
        message=fault.message,
        path=path,
        line=place.line,
        column=place.column,
        width=place.width,
        source=lines[place.line - 1] if 0 < place.line <= len(lines) else "",
        label=fault.label,
        notes=fault.notes,
        help=fault.help,
    )


def point(dockerfile: Dockerfile, span: Span, fault: Fault) -> Diagnostic:
    """Return the fault as a finding in this Dockerfile."""
    return diagnose(fault, path=dockerfile.path, lines=source_lines(dockerfile.text), span=span)

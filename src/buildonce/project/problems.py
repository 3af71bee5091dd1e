"""What is wrong with a configuration, collected, and shown at its places in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buildonce.diagnostics import Diagnostic, render_diagnostic
from buildonce.dockerfile.syntax import Place
from buildonce.errors import ConfigurationError
from buildonce.project.toml_places import Entry, KeyPath


class ConfigurationProblem(ConfigurationError):
    """A file that declares a project and cannot be read; `diagnostics` has every finding, in the file's order."""

    has_headline = True

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(diagnostics[0].message)
        self.diagnostics = tuple(diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(render_diagnostic(diagnostic) for diagnostic in self.diagnostics)


class Page:
    """A file that is read: where things stand in it, and what was found wrong so far."""

    def __init__(self, path: str, lines: Sequence[str], places: Mapping[KeyPath, Entry]) -> None:
        self.path = path
        self._lines = lines
        self._places = places
        self._findings: list[Diagnostic] = []

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found wrong yet."""
        return not self._findings

    def key(self, path: KeyPath) -> Place:
        """Return where a key stands, or the nearest one around it."""
        return self._entry(path).key

    def value(self, path: KeyPath) -> Place:
        """Return where the value of a key stands."""
        return self._entry(path).value

    def text(self, place: Place) -> str:
        """Return what stands at a place."""
        return self._lines[place.line - 1][place.column - 1 :][: place.width]

    def origin(self, path: KeyPath) -> str:
        """Return file and line of a key: ``buildonce.toml:3``."""
        return f"{self.path}:{self.key(path).line}"

    def complain(
        self,
        place: Place,
        message: str,
        *,
        label: str = "",
        notes: tuple[str, ...] = (),
        help: str | None = None,  # noqa: A002
    ) -> None:
        """Add a finding. Nothing in the file becomes a command to a terminal."""
        source = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        found = Diagnostic(
            code=ConfigurationError.code,
            message=_printable(message),
            path=self.path,
            line=place.line,
            column=place.column,
            width=place.width,
            source="".join(one if one.isprintable() or one == "\t" else "?" for one in source),
            label=label,
            notes=notes,
            help=_printable(help) if help else None,
        )
        self._findings.append(found)

    def close(self) -> None:
        """Raise `ConfigurationProblem` if anything was found wrong."""
        if self._findings:
            raise ConfigurationProblem(sorted(self._findings, key=lambda one: (one.line, one.column)))

    def _entry(self, path: KeyPath) -> Entry:
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path) or Entry(path=(), key=_TOP, value=_TOP)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


_TOP = Place(line=1, column=1, width=1)

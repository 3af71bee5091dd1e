"""Debian packages of any suite and architecture, without a trace in the machine's own package database. [io]

apt gets a world of its own for each suite and architecture: lists, archives, and an empty status file, so that it
resolves as if nothing were installed. Where the archive is and which key signs it comes from the machine's own lists.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import HostError
from .process import Runner, demand

# Names under which a machine's own list may have the suite that carries its base system.
ALIASES = frozenset({"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where Debian's packages are; `signed_by` is the value of that field, or empty for apt's own keys."""

    uris: str
    signed_by: str = ""


def find_archive(lists: Mapping[str, str], codename: str) -> Archive | None:
    """Return the archive of Debian's base system named in apt's lists (file name -> text), in the lists' order."""
    suites = ALIASES | {codename}
    for name, text in lists.items():
        found = _from_stanzas(text, suites) if name.endswith(".sources") else _from_lines(text, suites)
        if found:
            return found
    return None


def _from_stanzas(text: str, suites: frozenset[str]) -> Archive | None:
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip() == "no":
            continue
        if suites & set(fields.get("suites", "").split()) and "main" in fields.get("components", "").split():
            return Archive(uris=fields["uris"].strip(), signed_by=fields.get("signed-by", "").strip())
    return None


def _fields(stanza: str) -> dict[str, str]:
    """Return a stanza's fields; values keep their continuation lines, which may hold a whole key."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in {" ", "\t"} and name:
            fields[name] += "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value
    return fields


def _from_lines(text: str, suites: frozenset[str]) -> Archive | None:
    entry = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")
    for line in text.splitlines():
        match = entry.match(line.split("#", 1)[0].strip())
        if match and match["suite"] in suites and "main" in match["components"].split():
            key = re.search(r"signed-by=(\S+)", match["options"] or "", re.IGNORECASE)
            return Archive(uris=match["uri"], signed_by=key[1] if key else "")
    return None


def render_sources(archive: Archive, suite: str) -> str:
    """Return a list with that archive's `suite` alone."""
    lines = ["Types: deb", f"URIs: {archive.uris}", f"Suites: {suite}", "Components: main"]
    if archive.signed_by:
        lines.append(f"Signed-By: {archive.signed_by}")
    return "\n".join(lines) + "\n"


def render_configuration(folder: Path, architecture: str) -> str:
    """Return apt's configuration for a world in `folder`; the machine's proxies and keys stay in force."""
    return f"""\
Dir::Etc::sourcelist "{folder}/suite.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::State::extended_states "{folder}/extended_states";
Dir::Cache "{folder}";
Dir::Cache::archives "{folder}/archives";
Dir::Log "{folder}/log";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
# A mirror that has stood still is signed all the same, and good enough to test with.
Acquire::Check-Valid-Until "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
# Without this, apt counts itself among the essential packages.
pkgCacheGen::ForceEssential "none";
"""


def load_lists(etc: Path = Path("/etc/apt")) -> dict[str, str]:
    """Return the machine's own lists, the main one first."""
    paths = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    return {path.name: path.read_text() for path in paths if path.suffix in {".list", ".sources"} and path.is_file()}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One suite for one architecture, as apt sees it."""

    folder: Path
    archive: Archive
    suite: str
    architecture: str
    runner: Runner

    def open(self) -> None:
        """Write the world's configuration and bring its lists up to date."""
        for name in ("lists/partial", "archives/partial", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "suite.sources").write_text(render_sources(self.archive, self.suite))
        (self.folder / "apt.conf").write_text(render_configuration(self.folder, self.architecture))
        self._apt("update", what=f"the package lists of {self.suite} for {self.architecture} cannot be fetched")

    def fetch(self, names: Sequence[str]) -> list[Path]:
        """Return the packages and all that they depend on, from the archives folder; downloads what is not there."""
        return self._fetch("install", names)

    def fetch_only(self, names: Sequence[str]) -> list[Path]:
        """Return the packages without what they depend on."""
        return self._fetch("download", names)

    def _fetch(self, command: str, names: Sequence[str]) -> list[Path]:
        what = f"packages of {self.suite} for {self.architecture} cannot be fetched: {' '.join(names)}"
        # apt lists only what it does not find in its archives, or where it stands: hence a place with nothing.
        nothing = self.folder / "nothing"
        (nothing / "partial").mkdir(parents=True, exist_ok=True)
        empty = ("-o", f"Dir::Cache::archives={nothing}", "-qq", "--print-uris")
        listing = self._apt(*empty, command, *names, what=what, folder=nothing)
        # What is there already is verified, and gone on with.
        self._apt("-y", "--download-only", command, *names, what=what)
        return sorted(self.folder / "archives" / name for name in parse_print_uris(listing))

    def _apt(self, *arguments: str, what: str, folder: Path | None = None) -> str:
        return demand(
            self.runner,
            ["apt-get", "-c", str(self.folder / "apt.conf"), "-q", *arguments],
            what=what,
            advice="check the network and the machine's package lists in /etc/apt",
            folder=folder or self.folder / "archives",
        )


def parse_print_uris(listing: str) -> list[str]:
    """Return the file names in what `apt-get --print-uris` prints (`'uri' name size hash`)."""
    lines = (line.split() for line in listing.splitlines() if line.startswith("'"))
    return [fields[1] for fields in lines]


@contextmanager
def open_package(package: Path) -> Iterator[tarfile.TarFile]:
    """Open a package's files as a stream, to be read once from front to end."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE, close_fds=False
    ) as unpacker:
        if unpacker.stdout is None:
            raise HostError(f"{package} cannot be unpacked")
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
            yield archive
        unpacker.stdout.read()
    if unpacker.returncode:
        raise HostError(f"{package} cannot be unpacked", advice=f"remove {package} and try again")

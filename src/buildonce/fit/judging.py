"""The judgement: does every file that assembly adds run, or load, in the image that it is added to?"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from msgspec.structs import replace

from buildonce.elf.values import Elf, ElfKind, Script
from buildonce.fit import wording
from buildonce.fit.findings import Finding, Kind
from buildonce.fit.loading import Process, load
from buildonce.fit.machines import native_abi, runs_on, x86_level_of
from buildonce.fit.search import Loaded, Loader, LoaderKind, loader_of
from buildonce.fit.world import Found, Image, LateFile, World

_Judged: TypeAlias = tuple[LateFile, tuple[Finding, ...]]

_GIVEN_LATER = ("libcuda.so", "libnvidia-", "libnvcuvid.so", "libnvoptix.so", "libEGL_nvidia.so", "libGLX_nvidia.so")
"""Libraries of the machine's own drivers, which are put into a container when it starts."""


def judge(image: Image) -> tuple[Finding, ...]:
    """Return what does not fit, for all files that assembly adds to ``image``.

    What plainly cannot be used is severe. What may well never be used is not: libraries for another system beside
    those for this one, or a library that nobody asks for and that lacks one itself.
    """
    return _Judge(image).judge()


class _Judge:
    def __init__(self, image: Image) -> None:
        self.image = image
        self.world = World(image)
        self.reached: set[str] = set()

    def judge(self) -> tuple[Finding, ...]:
        programs = [(file, tuple(self.program(file, elf))) for file, elf in self.elves(ElfKind.PROGRAM)]
        libraries = [
            (file, tuple(self.library(file, elf)))
            for file, elf in self.elves(ElfKind.LIBRARY)
            if f"/{file.path}" not in self.reached
        ]
        scripts = [(file, tuple(self.script(file, script))) for file, script in self.scripts()]
        fits = any(not _severe(findings) for _, findings in (*programs, *libraries)) or bool(self.reached)
        found = (*_weigh_programs(programs), *_weigh_libraries(libraries, others_fit=fits), *scripts)
        return tuple(finding for _, findings in found for finding in findings)

    def elves(self, kind: ElfKind) -> Iterator[tuple[LateFile, Elf]]:
        for file in self.image.files:
            if isinstance(file.runnable, Elf) and file.runnable.kind is kind:
                yield file, file.runnable

    def scripts(self) -> Iterator[tuple[LateFile, Script]]:
        for file in self.image.files if self.image.offer is not None else ():
            if isinstance(file.runnable, Script) and file.is_executable:
                yield file, file.runnable

    def program(self, file: LateFile, elf: Elf) -> Iterator[Finding]:
        if found := self.machine(file, elf):
            yield found
            if found.kind is not Kind.LEVEL:
                return
        if elf.interpreter is None or self.image.offer is None or elf.abi is None:
            return
        interpreter = self.world.find(elf.interpreter)
        if interpreter is None or interpreter.abi is None or not interpreter.abi.works_with(elf.abi):
            yield self.finding(Kind.INTERPRETER, file, wording.interpreter(self.world, elf, interpreter))
            return
        loader = loader_of(self.world, interpreter, elf.interpreter)
        if loader.kind is not LoaderKind.OTHER:
            process = load(self.world, loader, Loaded(path=f"/{file.path}", elf=elf))
            self.reached |= process.reached
            yield from self.process(file, process, loader)

    def library(self, file: LateFile, elf: Elf) -> Iterator[Finding]:
        """Judge a library that no program here asks for; a program of the base may load it."""
        if found := self.machine(file, elf):
            yield found
            return
        if self.image.offer is None or elf.abi is None:
            return
        loader = self.loader_for(elf)
        if loader is None:
            return
        yield from self.process(file, load(self.world, loader, Loaded(path=f"/{file.path}", elf=elf)), loader)

    def loader_for(self, elf: Elf) -> Loader | None:
        """Return the loader of the image that a library is likely loaded by: one of its own kind, if there is one."""
        loaders = [
            loader_of(self.world, found, name)
            for name, found in self.world.loaders
            if found.abi and elf.abi and found.abi.works_with(elf.abi)
        ]
        wanted = LoaderKind.MUSL if wording.is_for_musl(elf) else LoaderKind.GLIBC
        return next((one for one in loaders if one.kind is wanted), loaders[0] if loaders else None)

    def process(self, file: LateFile, process: Process, loader: Loader) -> Iterator[Finding]:
        for missing in process.missing:
            kind = Kind.INTERPRETER if wording.is_musl(missing.name) else Kind.LIBRARY
            finding = self.finding(kind, file, wording.library(self.world, missing, file.path))
            yield replace(finding, severe=not missing.name.startswith(_GIVEN_LATER))
        for old in process.too_old:
            yield self.finding(Kind.VERSION, file, wording.version(old, file.path))
        elf = file.runnable
        if loader.kind is LoaderKind.MUSL and isinstance(elf, Elf) and wording.is_for_glibc(elf):
            yield replace(self.finding(Kind.INTERPRETER, file, wording.foreign_library(loader)), severe=False)

    def machine(self, file: LateFile, elf: Elf) -> Finding | None:
        if elf.abi is None:
            return self.finding(Kind.BROKEN, file, wording.broken(elf))
        fits = runs_on(elf.abi, self.image.platform)
        if not fits:
            finding = self.finding(Kind.MACHINE, file, wording.machine(elf.abi, self.image.platform))
            return replace(finding, severe=fits is False)
        if elf.problem:
            return self.finding(Kind.BROKEN, file, wording.broken(elf))
        if elf.level > x86_level_of(self.image.platform) and elf.abi == native_abi(self.image.platform):
            return replace(self.finding(Kind.LEVEL, file, wording.level(elf, self.image.platform)), severe=False)
        return None

    def script(self, file: LateFile, script: Script) -> Iterator[Finding]:
        found = self.world.find(posixpath.join(self.image.settings.workdir, script.interpreter))
        words = wording.script(self.world, script, found) if found is None or not found.is_executable else None
        if words is None and posixpath.basename(script.interpreter) == "env":
            name = wording.program_of_env(script)
            if name and not self.is_program(name):
                words = wording.program_in_path(self.world, name)
        if words is not None:
            yield replace(self.finding(Kind.INTERPRETER, file, words), severe=self.is_command(file))

    def is_program(self, name: str) -> bool:
        found: Found | None = self.world.find(name) if "/" in name else self.world.find_program(name)
        return found is not None and found.is_executable

    def is_command(self, file: LateFile) -> bool:
        """Say whether a script is there to be called, and not one of many files that came along."""
        path = f"/{file.path}"
        command = self.image.settings.command[:1]
        return file.is_named or path in command or posixpath.dirname(path) in self.world.path

    @staticmethod
    def finding(kind: Kind, file: LateFile, words: tuple[str, str, str]) -> Finding:
        says, has, cure = words
        return Finding(kind=kind, path=f"/{file.path}", severe=True, says=says, has=has, cure=cure)


def _weigh_programs(judged: list[_Judged]) -> Iterator[_Judged]:
    """Make light of programs that nobody can run, and of those of which there is another that fits."""
    fitting = {posixpath.basename(file.path) for file, findings in judged if not _severe(findings)}
    for file, findings in judged:
        if not file.is_executable:
            yield file, _lighter(one for one in findings if one.kind is not Kind.BROKEN)
        elif posixpath.basename(file.path) in fitting and not file.is_named:
            yield file, _lighter(findings)
        else:
            yield file, findings


def _weigh_libraries(judged: list[_Judged], *, others_fit: bool) -> Iterator[_Judged]:
    """Make light of libraries that came along: perhaps nobody loads them, perhaps they are for other images."""
    for file, findings in judged:
        kept = tuple(one for one in findings if one.kind is not Kind.BROKEN)
        if not file.is_named:
            kept = tuple(replace(one, severe=one.severe and _is_sure(one, others_fit=others_fit)) for one in kept)
        yield file, kept


def _is_sure(finding: Finding, *, others_fit: bool) -> bool:
    return finding.kind is Kind.VERSION or (finding.kind is not Kind.LIBRARY and not others_fit)


def _severe(findings: Iterable[Finding]) -> bool:
    return any(one.severe for one in findings)


def _lighter(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(replace(one, severe=False) for one in findings)

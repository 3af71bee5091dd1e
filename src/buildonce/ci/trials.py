"""[io] A workflow tried on one machine: its own jobs, each in a clean environment, in the order of their needs.

Each job has a folder with a checkout, a home, and Docker settings of its own. What jobs have in common is what they
have in common at GitHub: artifacts, outputs, and the registry. Actions have stand-ins here; steps that make the machine
ready (the installation, logins, the engine) are done in another way, which is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import Struct

from buildonce.ci.checkouts import check_out
from buildonce.ci.expressions import as_text, evaluate, interpolate, is_true
from buildonce.ci.github import ENGINE, INSTALL, LOGIN
from buildonce.errors import UsageError

_PASSED = ("BUILDONCE_", "GIT_")
_PASSED_NAMES = frozenset({"DOCKER_HOST", "LANG", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"})
_NOT_PASSED = frozenset({"BUILDONCE_STATE", "BUILDONCE_PUSH", "BUILDONCE_CACHE", "BUILDONCE_OUTPUT"})
_STATUS = ("cancelled()", "always()", "failure()", "success()")

Engine = Callable[[str], AbstractContextManager[Mapping[str, str]]]
"""Makes an engine ready for a job; gives the variables that lead to it."""


class Event(Struct, frozen=True, kw_only=True):
    """What set the workflow off: ``name`` as GitHub has it; ``inputs`` are those of a start by hand."""

    name: str
    is_fork: bool = False
    branch: str = "main"
    inputs: Mapping[str, str] = {}

    def context(self) -> Mapping[str, object]:
        """Return what expressions see of it."""
        head = "somebody/fork" if self.is_fork else "local/project"
        return {
            "event_name": self.name,
            "ref": f"refs/heads/{self.branch}",
            "repository": "local/project",
            "actor": "local",
            "token": "",
            "event": {"pull_request": {"head": {"repo": {"full_name": head}}}},
        }


class JobRun(Struct, frozen=True, kw_only=True):
    """What became of a job: ``result`` is ``success``, ``failure`` or ``skipped``; ``log`` has what its steps said."""

    job: str
    title: str
    result: str
    seconds: float = 0.0
    log: Path | None = None


@dataclass(slots=True, kw_only=True)
class Trial:
    """A workflow to try: the project's folder, a folder for the jobs, the event, and who is told of each job.

    ``engine`` replaces the step that starts one; None has all jobs use this machine's. With ``own_engine`` the step is
    carried out as it stands, and the builder removed afterwards. ``push`` overrides where images go.
    """

    project: Path
    folder: Path
    event: Event
    say: Callable[[str], None]
    push: str = ""
    engine: Engine | None = None
    own_engine: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def run(self, text: str) -> tuple[JobRun, ...]:
        """Run the jobs of a workflow whose conditions hold; one whose needs failed is skipped."""
        import yaml

        workflow: Mapping[str, Any] = yaml.safe_load(text)
        needs: dict[str, Mapping[str, object]] = {}
        runs: list[JobRun] = []
        for name, job in workflow["jobs"].items():
            wanted = job.get("needs", [])
            known = {one: needs[one] for one in ([wanted] if isinstance(wanted, str) else wanted)}
            context = {"github": self.event.context(), "inputs": self.event.inputs, "needs": known}
            if not _holds(job.get("if", "true"), context, known):
                needs[name] = {"result": "skipped", "outputs": {}}
                runs.append(JobRun(job=name, title=name, result="skipped"))
                self.say(f"{name}: skipped")
                continue
            cells = [
                self._cell(name, job, workflow.get("env", {}), {**context, "matrix": c}) for c in _cells(job, context)
            ]
            runs += [run for run, _ in cells]
            failed = any(run.result == "failure" for run, _ in cells)
            outputs = cells[-1][1] if cells else {}
            needs[name] = {"result": "failure" if failed else "success", "outputs": outputs}
        return tuple(runs)

    def _cell(
        self, name: str, job: Mapping[str, Any], env: Mapping[str, str], context: Mapping[str, Any]
    ) -> tuple[JobRun, Mapping[str, str]]:
        """Run one job of a matrix; return what became of it, and its outputs."""
        title = interpolate(str(job["name"]), context)
        folder = self.folder / "jobs" / f"{name}-{context['matrix'].get('job') or context['matrix'].get('runner', '')}"
        folder.mkdir(parents=True)
        started, log = time.monotonic(), folder / "log"
        self.say(f"{title}: begins")
        machine = _Machine(self, folder, log, {**env, **job.get("env", {})}, context)
        needs_engine = any(step.get("name") == ENGINE for step in job["steps"])
        engine = self.engine(title) if self.engine and needs_engine else nullcontext({})
        with engine as variables:
            machine.variables |= variables
            result = "success" if all(machine.carry_out(step) for step in job["steps"]) else "failure"
            machine.clean()
        run = JobRun(job=name, title=title, result=result, seconds=time.monotonic() - started, log=log)
        self.say(f"{title}: {result} after {run.seconds:.1f} s")
        if result == "failure":
            self.say(_tail(log))
        outputs = {key: interpolate(value, machine.context) for key, value in job.get("outputs", {}).items()}
        return run, outputs


class _Machine:
    """The machine of one job: folders, variables, and what its steps put out."""

    def __init__(
        self, trial: Trial, folder: Path, log: Path, env: Mapping[str, str], context: Mapping[str, Any]
    ) -> None:
        self._trial = trial
        self._log = log
        self._env = env
        self._work, self._temp, self._docker = (folder / one for one in ("work", "temp", "docker"))
        self._outputs = folder / "outputs"
        for one in (self._work, self._temp, folder / "home"):
            one.mkdir()
        self.context: dict[str, Any] = {**context, "runner": {"temp": str(self._temp)}, "steps": {}, "secrets": {}}
        _bring_login(trial.environment, self._docker)
        self.variables = {
            **_passed(trial.environment),
            "PATH": f"{_program(trial.folder)}{os.pathsep}{trial.environment.get('PATH', os.defpath)}",
            "HOME": str(folder / "home"),
            "DOCKER_CONFIG": str(self._docker),
            "RUNNER_TEMP": str(self._temp),
            "GITHUB_OUTPUT": str(self._outputs),
            "GITHUB_EVENT_NAME": trial.event.name,
            "GITHUB_REF_NAME": trial.event.branch,
            "CI": "true",
            **({"BUILDONCE_PUSH": trial.push} if trial.push else {}),
        }
        self._builder = False

    def carry_out(self, step: Mapping[str, Any]) -> bool:
        """Carry out a step whose condition holds; say whether it went well."""
        if not is_true(evaluate(str(step.get("if", "true")), self.context)):
            return True
        if "uses" in step:
            return self._act(step["uses"].partition("@")[0], step.get("with", {}))
        name = str(step["name"])
        if name == INSTALL or name.startswith(LOGIN) or (name == ENGINE and not self._trial.own_engine):
            self._note(f"{name}: done in another way on this machine")
            return True
        self._builder = self._builder or name == ENGINE
        env = {key: interpolate(as_text(value), self.context) for key, value in step.get("env", {}).items()}
        done = self._bash(step["run"], env)
        self._collect(step.get("id"))
        return done

    def clean(self) -> None:
        """Remove the builder that the job started."""
        if self._builder:
            self._bash("docker buildx rm --force", {})

    def _bash(self, script: str, env: Mapping[str, str]) -> bool:
        self._outputs.write_text("")
        with self._log.open("ab") as log:
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                cwd=self._work,
                env={**self._env, **self.variables, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        return done.returncode == 0

    def _collect(self, identity: str | None) -> None:
        if identity:
            lines = (line.partition("=") for line in self._outputs.read_text().splitlines())
            self.context["steps"][identity] = {"outputs": {name: value for name, _, value in lines}}

    def _act(self, action: str, options: Mapping[str, Any]) -> bool:
        """Do what an action does, as far as our workflows use it."""
        wanted = {key: interpolate(as_text(value), self.context) for key, value in options.items()}
        artifacts = self._trial.folder / "artifacts"
        match action:
            case "actions/checkout":
                check_out(self._trial.project, self._work)
            case "actions/upload-artifact":
                return self._upload(artifacts / wanted["name"], Path(wanted["path"]))
            case "actions/download-artifact":
                pattern = wanted.get("name") or wanted["pattern"]
                found = sorted(artifacts.glob(pattern)) if artifacts.is_dir() else []
                for one in found:
                    shutil.copytree(one, wanted["path"], dirs_exist_ok=True)
                return bool(found) or "pattern" in wanted
            case "docker/setup-qemu-action":
                self._note("emulators are those that this machine has")
            case _:
                raise UsageError(f"nothing here does what the action {action} does")
        return True

    def _upload(self, artifact: Path, path: Path) -> bool:
        if not path.is_file():
            self._note(f"there is no file {path}")
            return False
        shutil.rmtree(artifact, ignore_errors=True)
        artifact.mkdir(parents=True)
        shutil.copy2(path, artifact / path.name)
        return True

    def _note(self, text: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{text}\n")


def _holds(condition: str, context: Mapping[str, object], needs: Mapping[str, Mapping[str, object]]) -> bool:
    """Say whether a job runs: one that says nothing of how its needs ended wants them to have ended well."""
    text = str(condition)
    ended_well = all(one["result"] == "success" for one in needs.values())
    if not any(status in text for status in _STATUS) and not ended_well:
        return False
    return is_true(evaluate(text, context, {"cancelled": lambda: False}))


def _cells(job: Mapping[str, Any], context: Mapping[str, object]) -> Iterator[Mapping[str, str]]:
    """Yield the cells of a job's matrix; one without anything for a job that has none."""
    matrix = job.get("strategy", {}).get("matrix")
    if matrix is None:
        yield {}
        return
    found = evaluate(matrix, context) if isinstance(matrix, str) else matrix
    assert isinstance(found, Mapping)  # noqa: S101  our own workflow
    yield from found["include"]


def _passed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a job sees of this machine's variables: proxies, certificates, and where the engine is."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _NOT_PASSED
        and (name.startswith(_PASSED) or name in _PASSED_NAMES or name.lower().endswith("_proxy"))
    }


def _bring_login(environment: Mapping[str, str], folder: Path) -> None:
    """Give a job the logins and plug-ins of this machine's Docker client, and nothing else of it."""
    own = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "~")).expanduser() / ".docker")
    folder.mkdir()
    if (own / "config.json").is_file():
        shutil.copy2(own / "config.json", folder / "config.json")
    if (own / "cli-plugins").is_dir():
        shutil.copytree(own / "cli-plugins", folder / "cli-plugins", symlinks=True)


def _program(folder: Path) -> Path:
    """Return a folder with this buildonce as a program."""
    programs = folder / "bin"
    if not programs.is_dir():
        programs.mkdir(parents=True)
        (programs / "buildonce").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m buildonce "$@"\n')
        (programs / "buildonce").chmod(0o755)
    return programs


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return "\n".join(f"  {line}" for line in lines[-20:])

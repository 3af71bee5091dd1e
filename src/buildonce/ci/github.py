"""A project's workflow for GitHub Actions: plan, compile, bases, ship; and one job for pull requests of forks. Pure.

What the text keeps to:

* No value of a matrix, an event or an input stands in a script: all pass through the environment, quoted there.
* Every action is pinned by its commit. Every job has the permissions that it needs, and none else.
* The workflow names no variant: these are declared in one place, which the plan reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from buildonce.ci.runners import SMALL, emulated, runner_of

PATH = ".github/workflows/buildonce.yml"
"""Where the workflow is, from the repository's root."""

GITHUB_REGISTRY = "ghcr.io"

ACTIONS: Mapping[str, tuple[str, str]] = {
    "actions/checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/upload-artifact": ("bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
    "actions/download-artifact": ("3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
    "actions/github-script": ("ed597411d8f924073f98dfc5c65a23a2325f34cd", "v8.0.0"),
    "docker/setup-qemu-action": ("96fe6ef7f33517b61c61be40b68a1882f3264fb8", "v4.2.0"),
}
"""The commits of the actions' versions, as their repositories have them."""

ENVIRONMENT = "registries"
"""The repository's environment that has the logins of registries other than GitHub's own, and secrets of builds."""

INSTALL = "Install buildonce"
LOGIN = "Log in to "
ENGINE = "Start the engine"
"""Names of steps, the second one's beginning: what a trial on one machine does in another way."""

_INDENT = "  "
_FOLDER = '"$RUNNER_TEMP/buildonce"'
"""Outside of the checkout: nothing of it gets into a build context."""

_OWN = "github.event.pull_request.head.repo.full_name == github.repository"
_FORK = "github.event.pull_request.head.repo.full_name != github.repository"


class Workflow(Struct, frozen=True, kw_only=True):
    """What a workflow is made from.

    ``install`` is what pipx installs. ``registries`` are the hosts that images and cache are in, ``cache`` where it is.
    ``platforms`` are all that the project has; ``branch`` is the one whose pushes ship. ``variables`` are those that
    builds have their secrets from; ``has_github_cache`` says that the engine's own cache is GitHub's.
    """

    install: str
    registries: tuple[str, ...]
    cache: str
    platforms: tuple[str, ...]
    branch: str = "main"
    variables: tuple[str, ...] = ()
    has_github_cache: bool = False


def render_workflow(workflow: Workflow) -> str:
    """Return the text of the workflow."""
    return "\n".join(
        [
            "# Made by `buildonce ci github --write`. With --check, the same command fails once this is out of date.",
            "name: images",
            "",
            *_triggers(workflow),
            "",
            "permissions: {}",
            "",
            "concurrency:",
            "  group: images-${{ github.event_name == 'workflow_dispatch' && github.run_id || github.ref }}",
            "  cancel-in-progress: ${{ github.event_name == 'pull_request' }}",
            "",
            "defaults:",
            "  run:",
            "    shell: bash",
            "",
            "env:",
            f"  BUILDONCE: {_quoted(workflow.install)}",
            "",
            "jobs:",
            *_plan_job(workflow),
            "",
            *_make_job(workflow, "compile"),
            "",
            *_make_job(workflow, "bases"),
            "",
            *_ship_job(workflow),
            "",
            *_fork_job(workflow),
            "",
        ]
    )


def _triggers(workflow: Workflow) -> list[str]:
    return [
        "on:",
        "  push:",
        f"    branches: [{_quoted(workflow.branch)}]",
        '    tags: ["v*"]',
        "  pull_request:",
        "  workflow_dispatch:",
        "    inputs:",
        "      variants:",
        "        description: The variants to ship, with commas between them; all, if this is empty",
        "        type: string",
        "        required: false",
        "      tag:",
        "        description: How to tag them, for instance nightly-{variant}; as declared, if this is empty",
        "        type: string",
        "        required: false",
    ]


def _plan_job(workflow: Workflow) -> list[str]:
    script = [
        "options=()",
        'if [ -n "$VARIANTS" ]; then options+=(--variant "$VARIANTS"); fi',
        'if [ -n "$TAG" ]; then options+=(--tag "$TAG"); fi',
        f'buildonce plan --write {_FOLDER}/plan.json --matrix github "${{options[@]}}" >> "$GITHUB_OUTPUT"',
    ]
    inputs = {"VARIANTS": "${{ inputs.variants }}", "TAG": "${{ inputs.tag }}"}
    outputs = ("plan", "compile", "bases", "compiles", "has-bases", "ships")
    steps = [
        *_beginning(workflow, history=True),
        _step("Plan", identity="plan", env=inputs, run=script),
        _upload("buildonce-plan", "plan.json"),
    ]
    return _job(
        "plan",
        [
            "name: plan",
            f"if: github.event_name != 'pull_request' || {_OWN}",
            f"runs-on: {SMALL}",
            *_environment(workflow),
            "timeout-minutes: 15",
            *_permissions("read # the cache says what is there"),
            "outputs:",
            *(f"  {name}: ${{{{ steps.plan.outputs.{name} }}}}" for name in outputs),
        ],
        steps,
    )


def _make_job(workflow: Workflow, kind: str) -> list[str]:
    """Return the job of a matrix: compile jobs need the plan, bases jobs these too."""
    if kind == "compile":
        needs, wanted = "plan", "needs.plan.outputs.compiles == 'true'"
    else:
        needs = "[plan, compile]"
        outputs = "needs.plan.result == 'success' && needs.plan.outputs.has-bases == 'true'"
        wanted = f"${{{{ !cancelled() && {outputs} && {_ended('compile')} }}}}"
    env = {"JOB": "${{ matrix.job }}", **{name: f"${{{{ secrets.{name} }}}}" for name in workflow.variables}}
    steps = [
        *_beginning(workflow),
        *_downloads(made=kind != "compile"),
        *([_github_cache()] if workflow.has_github_cache and kind == "compile" else []),
        *_engine(workflow.platforms, "matrix.emulate != ''", "${{ matrix.emulate }}"),
        _step("Make", env=env, run=[f'buildonce make {_FOLDER}/plan.json "$JOB" --made {_FOLDER}/made']),
        _upload("buildonce-made-${{ needs.plan.outputs.plan }}-${{ matrix.job }}", "made/${{ matrix.job }}.json"),
    ]
    return _job(
        kind,
        [
            "name: ${{ matrix.title }}",
            f"needs: {needs}",
            f"if: {wanted}",
            "strategy:",
            "  fail-fast: false",
            f"  matrix: ${{{{ fromJSON(needs.plan.outputs.{kind}) }}}}",
            "runs-on: ${{ matrix.runner }}",
            *_environment(workflow, builds=True),
            "timeout-minutes: 350",
            *_permissions("write # what is made goes to the cache"),
        ],
        steps,
    )


def _ship_job(workflow: Workflow) -> list[str]:
    script = [
        "options=()",
        'if [ "$GITHUB_EVENT_NAME" = pull_request ]; then options+=(--stage); fi',
        f'buildonce make {_FOLDER}/plan.json ship --made {_FOLDER}/made --json "${{options[@]}}" \\',
        f"  > {_FOLDER}/shipped.json",
    ]
    outputs = "needs.plan.result == 'success' && needs.plan.outputs.ships == 'true'"
    wanted = f"!cancelled() && {outputs} && {_ended('compile')} && {_ended('bases')}"
    steps = [
        *_beginning(workflow),
        *_downloads(made=True),
        _step("Ship", run=script),
        _upload("buildonce-shipped", "shipped.json"),
    ]
    return _job(
        "ship",
        [
            "name: ship",
            "needs: [plan, compile, bases]",
            f"if: ${{{{ {wanted} }}}}",
            f"runs-on: {SMALL}",
            *_environment(workflow),
            "timeout-minutes: 60",
            *_permissions("write # images and tags"),
        ],
        steps,
    )


def _fork_job(workflow: Workflow) -> list[str]:
    """Return the job of pull requests from forks: it reads the cache, writes to no registry, and ships nothing."""
    by_runner: dict[str, list[str]] = {}
    for platform in workflow.platforms:
        by_runner.setdefault(runner_of(platform), []).append(platform)
    cells = [
        line
        for runner, platforms in by_runner.items()
        for line in (
            f"      - runner: {runner}",
            f"        platforms: {_quoted(','.join(platforms))}",
            f"        emulate: {_quoted(','.join(emulated(platforms)))}",
        )
    ]
    env = {"PLATFORMS": "${{ matrix.platforms }}", "CACHE": _quoted(workflow.cache)}
    script = [
        'buildonce build --platform "$PLATFORMS" --cache "$CACHE" --cache-read-only --output oci:.buildonce/images'
    ]
    steps = [
        *_beginning(workflow, is_fork=True),
        *_engine(workflow.platforms, "matrix.emulate != ''", "${{ matrix.emulate }}"),
        _step("Build, and ship nothing", env=env, run=script),
    ]
    return _job(
        "fork",
        [
            "name: try ${{ matrix.platforms }}",
            f"if: github.event_name == 'pull_request' && {_FORK}",
            "strategy:",
            "  fail-fast: false",
            "  matrix:",
            "    include:",
            *cells,
            "runs-on: ${{ matrix.runner }}",
            "timeout-minutes: 350",
            *_permissions("read # from the cache, which this job never writes to"),
        ],
        steps,
    )


# Steps.


def _beginning(workflow: Workflow, *, history: bool = False, is_fork: bool = False) -> list[list[str]]:
    """Return the steps that every job begins with: the checkout, buildonce, and the logins."""
    return [
        [
            *_uses("Check out", "actions/checkout"),
            "  with:",
            "    persist-credentials: false",
            *(["    fetch-depth: 0 # tags of images may name the commit's Git tag"] if history else []),
        ],
        _step(INSTALL, run=['pipx install "$BUILDONCE"']),
        *(_login(registry) for registry in workflow.registries if not is_fork or registry == GITHUB_REGISTRY),
    ]


def secret_stem(registry: str) -> str:
    """Return how the names of the secrets begin that a registry's login is in: `QUAY_IO` for quay.io."""
    return re.sub(r"[^A-Z0-9]+", "_", registry.upper()).strip("_")


def _environment(workflow: Workflow, *, builds: bool = False) -> list[str]:
    """Return the line that names the environment whose secrets a job sees, where it needs any."""
    needs = any(registry != GITHUB_REGISTRY for registry in workflow.registries) or (builds and workflow.variables)
    return [f"environment: {ENVIRONMENT}"] if needs else []


def _login(registry: str) -> list[str]:
    if registry == GITHUB_REGISTRY:
        user, password = "${{ github.actor }}", "${{ github.token }}"
    else:
        stem = secret_stem(registry)
        user, password = f"${{{{ secrets.{stem}_USER }}}}", f"${{{{ secrets.{stem}_TOKEN }}}}"
    return _step(
        f"{LOGIN}{registry}",
        env={"REGISTRY": _quoted(registry), "LOGIN": user, "TOKEN": password},
        run=['printf %s "$TOKEN" | docker login "$REGISTRY" --username "$LOGIN" --password-stdin'],
    )


def _github_cache() -> list[str]:
    """Return the step that lets scripts know what leads to GitHub's cache, which only actions know."""
    return [
        *_uses("Say where GitHub's cache is", "actions/github-script"),
        "  with:",
        "    script: |",
        "      for (const name of ['ACTIONS_CACHE_SERVICE_V2', 'ACTIONS_RESULTS_URL', 'ACTIONS_RUNTIME_TOKEN']) {",
        "        core.exportVariable(name, process.env[name] || '');",
        "      }",
    ]


def _downloads(*, made: bool) -> list[list[str]]:
    plan = [*_uses("Get the plan", "actions/download-artifact"), "  with:"]
    plan += ["    name: buildonce-plan", "    path: ${{ runner.temp }}/buildonce"]
    left = [*_uses("Get what earlier jobs left", "actions/download-artifact"), "  with:"]
    left += [
        "    pattern: buildonce-made-${{ needs.plan.outputs.plan }}-*",
        "    merge-multiple: true",
        "    path: ${{ runner.temp }}/buildonce/made",
    ]
    return [plan, left] if made else [plan]


def _upload(name: str, path: str) -> list[str]:
    return [
        *_uses("Keep it", "actions/upload-artifact"),
        "  with:",
        f"    name: {name}",
        f"    path: ${{{{ runner.temp }}}}/buildonce/{path}",
        "    if-no-files-found: error",
        "    overwrite: true",
    ]


def _engine(platforms: Iterable[str], condition: str, wanted: str) -> list[list[str]]:
    """Return the steps that make an engine ready; an emulator only where the project has a platform that needs one."""
    emulator = [
        *_uses("Have programs of other machines run", "docker/setup-qemu-action"),
        f"  if: {condition}",
        "  with:",
        f"    platforms: {wanted}",
    ]
    create = _step(ENGINE, run=["docker buildx create --driver docker-container --use --bootstrap"])
    return [emulator, create] if emulated(platforms) else [create]


def _step(name: str, *, run: Sequence[str], identity: str = "", env: Mapping[str, str] | None = None) -> list[str]:
    lines = [f"- name: {name}", *([f"  id: {identity}"] if identity else [])]
    if env:
        lines += ["  env:", *(f"    {key}: {value}" for key, value in env.items())]
    if len(run) == 1:
        return [*lines, f"  run: {run[0]}"]
    return [*lines, "  run: |", *(f"    {line}" for line in run)]


def _uses(name: str, action: str) -> list[str]:
    commit, version = ACTIONS[action]
    return [f"- name: {name}", f"  uses: {action}@{commit} # {version}"]


def _job(name: str, head: Iterable[str], steps: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"{name}:", *(f"  {line}" for line in head), "  steps:"]
    lines += [f"    {line}" for step in steps for line in step]
    return [f"{_INDENT}{line}" for line in lines]


def _permissions(packages: str) -> list[str]:
    return ["permissions:", "  contents: read", f"  packages: {packages}"]


def _ended(job: str) -> str:
    """Return the condition that a job ended well, or had nothing to do."""
    return f"(needs.{job}.result == 'success' || needs.{job}.result == 'skipped')"


def _quoted(text: str) -> str:
    """Return a text as YAML takes it, whatever is in it: JSON is YAML."""
    return json.dumps(text)

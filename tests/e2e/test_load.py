"""Images for the engine of the machine itself: loaded when they are new, and again after one line changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness import AMD64, ARM64, Host, copy_example
from tests.e2e.stories import LONG_AGO

pytestmark = pytest.mark.host


def test_a_variant_is_loaded_and_again_after_a_change(host: Host, run_id: str, tmp_path: Path) -> None:
    project = copy_example(host, tmp_path, time=LONG_AGO)
    project.edit("src/version.h", '"1.0.0"', f'"1.0.0-{run_id}"')
    renamed = project.folder.rename(tmp_path / f"load-{run_id}")
    project = type(project)(host=host, folder=renamed, state=project.state)
    name = f"load-{run_id}:claude"
    cache = f"--cache=oci:{tmp_path / 'cache'}"
    first = project.build("--variant=claude", "--load", cache, platforms=(AMD64,))
    assert first["loaded"] == [name]
    assert host.demand("docker", "run", "--rm", name, "--version") == f"family 1.0.0-{run_id} (x86_64)\n"

    project.edit("src/version.h", f'"1.0.0-{run_id}"', f'"2.0.0-{run_id}"')
    project.build("--variant=claude", "--load", cache, platforms=(AMD64,))
    assert host.demand("docker", "run", "--rm", name, "--version") == f"family 2.0.0-{run_id} (x86_64)\n"

    host.demand("docker", "image", "rm", "--force", name)
    again = project.build("--variant=claude", "--load", cache, platforms=(AMD64,))
    assert again["engine_runs"] == []
    assert host.demand("docker", "run", "--rm", name, "--version") == f"family 2.0.0-{run_id} (x86_64)\n"
    host.demand("docker", "image", "rm", "--force", name)

    other = project.buildonce("build", "--variant=claude", "--load", f"--platform={ARM64}")
    assert other.code == 2
    assert "nothing is built for this machine's platform, linux/amd64" in other.err

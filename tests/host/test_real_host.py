from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

PLATFORMS = ("linux/amd64", "linux/arm64")

COMPILE = """\
FROM gcc:12-bookworm AS builder
RUN printf '#include <stdio.h>\\nint main(void) { puts("it runs"); }\\n' > /it.c && gcc -o /it /it.c

FROM debian:bookworm-slim AS debian
RUN groupadd --gid 1500 agent && useradd --uid 1500 --gid agent --create-home agent
COPY --from=builder --chown=agent:agent /it /bin/it
RUN it && stat -c %U:%G:%n /home/agent /usr/bin/it > /owners

FROM busybox:1.36-glibc AS busybox
RUN addgroup -g 1500 agent && adduser -D -u 1500 -G agent agent
COPY --from=builder --chown=agent:agent /it /bin/it
RUN it && stat -c %U:%G:%n /home/agent /bin/it > /owners

FROM scratch
COPY --from=debian /owners /debian
COPY --from=busybox /owners /busybox
"""


@pytest.mark.parametrize("platform", PLATFORMS)
def test_base_images_compile_run_and_know_accounts(
    platform: str, host_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(COMPILE)
    output = f"--output=type=local,dest={tmp_path / 'out'}"
    argv = ["docker", "buildx", "build", "--progress=plain", f"--platform={platform}", output, str(tmp_path)]
    done = subprocess.run(argv, env={**os.environ, **host_environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "debian").read_text() == "agent:agent:/home/agent\nagent:agent:/usr/bin/it\n"
    assert (tmp_path / "out" / "busybox").read_text() == "agent:agent:/home/agent\nagent:agent:/bin/it\n"

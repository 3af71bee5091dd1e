"""What a job of a plan did, as a line for people."""

from __future__ import annotations

from buildonce.report.tables import count, render_size
from buildonce.run.plan_file import Made


def render_made(made: Made) -> str:
    """Return what a job did and what it took."""
    runs = f"{count(made.engine_runs, 'engine run')}, {count(made.compiles, 'compile')}" if made.engine_runs else ""
    traffic = f"{made.requests} requests, {render_size(made.bytes_up)} up, {render_size(made.bytes_down)} down"
    parts = (f"{made.job}: {count(len(made.results), 'result')}", runs or "no engine ran", traffic)
    return f"{'; '.join(parts)}; {made.seconds:.1f} s"

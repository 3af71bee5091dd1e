"""The one error of the test host: what failed, the end of its log, and what to do."""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 15


class HostError(Exception):
    """The test host cannot do what was asked; `exit_code` is that of an unavailable engine or registry."""

    exit_code = 4

    def __init__(self, what: str, *, detail: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail
        self.advice = advice

    def render(self) -> str:
        """Return the message for a terminal, without a trailing newline."""
        lines = [f"error: {self.what}"]
        lines += [f"  | {line}" for line in tail(self.detail)]
        if self.advice:
            lines.append(f"help: {self.advice}")
        return "\n".join(lines)


def tail(text: str, count: int = TAIL_LINES) -> list[str]:
    """Return the last `count` lines of `text` that are not blank."""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def log_tail(log: Path) -> str:
    """Return what a service wrote last, preceded by where the rest stands."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return f"{log}: no log was written"
    return "\n".join([f"{log}:", *tail(text)])

"""Events as lines of text, for terminals and logs."""

from __future__ import annotations

from collections.abc import Callable

from buildonce.events import Activity, EngineLine, Event, Finished, Started, Warned

_DOING = {
    Activity.COMPILE: "compiling",
    Activity.BASE: "building base",
    Activity.PROVE: "proving",
    Activity.BUILD: "building",
    Activity.WAIT: "waiting for",
    Activity.PULL: "reading",
    Activity.ASSEMBLE: "assembling",
    Activity.PUSH: "pushing",
    Activity.TAG: "tagging",
    Activity.LOAD: "loading",
}
_DONE = {
    Activity.COMPILE: "compiled",
    Activity.BASE: "built base",
    Activity.PROVE: "proved",
    Activity.BUILD: "built",
    Activity.WAIT: "waited for",
    Activity.PULL: "read",
    Activity.ASSEMBLE: "assembled",
    Activity.PUSH: "pushed",
    Activity.TAG: "tagged",
    Activity.LOAD: "loaded",
}
_WIDTH = max(len(word) for word in (*_DOING.values(), *_DONE.values()))


class LineProgress:
    """Writes one line for each event; of the engine's output, the steps and what they say, and all when ``verbose``."""

    def __init__(self, write: Callable[[str], None], *, verbose: bool) -> None:
        self._write = write
        self._verbose = verbose

    def __call__(self, event: Event) -> None:
        match event:
            case Started(activity=activity, node=node, reason=reason):
                self._write(f"{_DOING[activity]:<{_WIDTH}}  {node}" + (f"  ({reason})" if reason else ""))
            case Finished(activity=activity, node=node, seconds=seconds, result=result):
                self._write(f"{_DONE[activity]:<{_WIDTH}}  {node}  {seconds:.1f} s" + (f"  {result}" if result else ""))
            case EngineLine(node=node, text=text, is_detail=is_detail):
                if self._verbose or not is_detail:
                    self._write(f"  [{node}] {text}")
            case Warned(message=message):
                self._write(f"warning: {message}")

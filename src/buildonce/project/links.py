"""Links: named contexts that are the results of other targets, written ``target:NAME`` as bake writes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from buildonce.dockerfile.problems import did_you_mean
from buildonce.project.declaration import VariantDeclaration

LINK = "target:"

Complain = Callable[[str, str, str, str | None], None]
"""Takes what is wrong with a link: the target that has it, the context's name, a message, and what to do."""


def linked_name(value: str) -> str | None:
    """Return the name of the target that a named context is the result of; None for any other context."""
    return value.removeprefix(LINK) if value.startswith(LINK) else None


def links_of(target: VariantDeclaration) -> Mapping[str, str]:
    """Return the named contexts of a target that are links, and the names of the targets that they lead to."""
    named = {context: linked_name(value) for context, value in target.contexts.items()}
    return {context: name for context, name in named.items() if name is not None}


def find_linked(
    wanted: Sequence[VariantDeclaration], known: Mapping[str, VariantDeclaration]
) -> tuple[VariantDeclaration, ...]:
    """Return the targets that the wanted ones are linked to, directly or not, as far as they are known."""
    found: dict[str, VariantDeclaration] = {}
    waiting = list(wanted)
    while waiting:
        for name in links_of(waiting.pop()).values():
            if name in known and name not in found:
                found[name] = known[name]
                waiting.append(known[name])
    return tuple(found[name] for name in sorted(found))


def check_links(
    known: Mapping[str, VariantDeclaration], complain: Complain, *, what: str, names: Collection[str] = ()
) -> None:
    """Complain of links that lead nowhere or in a circle; ``what`` is what messages call a target.

    ``names`` are those of all targets, where these are more than the ``known`` ones.
    """
    for target in known.values():
        for context, name in links_of(target).items():
            if name not in known:
                complain(target.name, context, *unknown_link(context, name, names or known, what=what))
            elif circle := _circle(target.name, name, known):
                complain(
                    target.name,
                    context,
                    f"the context `{context}` is a result that is made from itself: {' -> '.join(circle)}",
                    f"take the {what} out of its own `contexts`"
                    if name == target.name
                    else "take one of them out of the other's contexts",
                )


def unknown_link(context: str, name: str, known: Collection[str], *, what: str) -> tuple[str, str]:
    """Return what is wrong with a link that leads nowhere, and what to do."""
    listed = ", ".join(sorted(known)[:20])
    return (
        f"the context `{context}` is the result of `{name}`, which is no {what}",
        did_you_mean(name, known) or f"there are: {listed}",
    )


def _circle(start: str, name: str, known: Mapping[str, VariantDeclaration]) -> tuple[str, ...]:
    """Return the way from a target through a link back to itself; nothing if there is none."""
    ways: list[tuple[str, ...]] = [(start, name)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == start:
            return way
        if way[-1] not in seen and way[-1] in known:
            seen.add(way[-1])
            ways += [(*way, following) for following in _following(known[way[-1]])]
    return ()


def _following(target: VariantDeclaration) -> Iterator[str]:
    yield from links_of(target).values()

"""Small Dockerfiles made from parts: every instruction and flag, in every layout that BuildKit's lexer tells apart."""

from __future__ import annotations

from collections.abc import Iterator

INSTRUCTIONS = (
    "ADD --checksum=sha256:00 --keep-git-dir --link=false --unpack --chown=1:2 --chmod=0644 --exclude=*.md a b /c/",
    'ADD ["a b", "/c"]',
    "ARG A B=1 C='d e' D=\"x y\"",
    'CMD ["a", "b c"]',
    "CMD a  'b' \"c\"",
    "COPY --from=x --chown=a:b --chmod=u+x --link --parents --exclude=*.md --exclude='a b' a b /c/",
    "COPY <<E <<-'F' /d/\n$x\nE\n\t$y\n\tF",
    'ENTRYPOINT ["a"]',
    "ENTRYPOINT a b",
    "ENV A=1 B='x y' C=\"z $A\" D=e\\ f",
    "ENV legacy  many   words",
    "EXPOSE 80 443/tcp 8000-8002/udp",
    'HEALTHCHECK --interval=1m --timeout=2s --start-period=3s --start-interval=4s --retries=5 CMD ["a"]',
    "HEALTHCHECK CMD a b || exit 1",
    "HEALTHCHECK NONE",
    'LABEL a.b=c "d e"=f',
    "MAINTAINER Some One <one@example.com>",
    "ONBUILD COPY --from=x a b",
    'ONBUILD CMD ["a"]',
    "RUN --mount=type=cache,target=/x --network=none --security=insecure --device=v.com/c=d a  b",
    'RUN ["a", "\\u00e9"]',
    "RUN <<E\n#!/bin/sh\n\necho $x # no comment\nE",
    'RUN 3<<E cat <<-"F"\nx\\\nE\n\ty\nF',
    'SHELL ["/bin/bash", "-c"]',
    "STOPSIGNAL SIGKILL",
    "USER a:b",
    'VOLUME ["/a", "/b"]',
    "VOLUME /a /b",
    "WORKDIR /a b",
    "FROM --platform=linux/arm64 $A AS Other",
)
HEADS = {
    "plain": "FROM a\n",
    "directives": "# syntax=docker/dockerfile:1\n# check=skip=all\nARG A=1\nFROM a AS b\n",
    "mark": "\ufeffFROM a\n",
    "comments": "# a\n\n# b\nFROM a\n\n  # c\n",
}


def cases() -> Iterator[tuple[str, str]]:
    """Yield names and texts, in an order that never changes."""
    for number, instruction in enumerate(INSTRUCTIONS):
        first, _, rest = instruction.partition("\n")
        keyword = first.partition(" ")[0].lower()
        body = f"\n{rest}" if rest else ""
        layouts = {
            "once": first + body,
            "lower": first.replace(first.split()[0], keyword, 1) + body,
            "indented": f" \t{first}{body}",
            "spaced": first.replace(" ", "  \t", 1) + body,
            "long": f"{first}{body}\nRUN {'x' * 2_000}",
        }
        if not rest:
            layouts["continued"] = first.replace(" ", " \\\n  # c\n\n ", 1)
            layouts["dangling"] = f"{first} \\\n"
        for head, start in HEADS.items():
            for layout, text in layouts.items():
                yield f"{number}-{keyword}-{head}-{layout}", f"{start}{text}\n"
        yield f"{number}-{keyword}-crlf", f"FROM a\n{instruction}\n".replace("\n", "\r\n")

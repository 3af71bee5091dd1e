"""Values that look like secrets, as recipes have them: by a digest, never in clear.

Recipes are stored with results, where everyone who may pull can read them. A secret belongs into ``RUN --mount=type=
secret``, which no recipe covers; but people give them as build arguments too, and a changed one has to change the key.
A digest keeps nobody from trying all short passwords; it keeps tokens out of sight.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from msgspec import Struct, field

_TELLING = re.compile(
    r"(?:^|_)(?:auth|authorization|credentials?|creds?|key|pass|passphrase|password|passwd|pat|pwd|pword|secrets?|tokens?)"
    r"(?:_|[0-9]*$)|apikey|password|passwd|secret|token|credential",
    re.IGNORECASE,
)
_OPEN = re.compile(r"public", re.IGNORECASE)
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/@\s]+)(?=@)")
_NAMES = ("ssh", "git", "git+ssh")
"""Where a user's name alone is a name, as in ssh://git@...; elsewhere it is most likely a token."""

_IMAGES = ("docker-image", "container-image", "oci-layout")
"""What stands before the ``@`` of an image's address is its name."""


def looks_secret(name: str) -> bool:
    """Say whether a variable's name says that its value is nobody else's business."""
    return _TELLING.search(name) is not None and _OPEN.search(name) is None


def conceal(name: str, value: str) -> str:
    """Return a variable's value for a recipe: itself, or a digest if its name looks like a secret's."""
    if not value:
        return value
    return _digest(name, value) if looks_secret(name) else hide_credentials(value)


def hide_credentials(text: str) -> str:
    """Return the text with a digest in the place of the user and password, or the token, of each URL in it."""
    return _USER.sub(_hidden, text) if "://" in text else text


def _hidden(found: re.Match[str]) -> str:
    scheme, user = found.groups()
    is_name = scheme.lower() in _IMAGES or (":" not in user and scheme.lower() in _NAMES)
    return f"{scheme}://{user if is_name else _digest('user', user)}"


class Concealed(Struct, frozen=True):
    """Variables that words were expanded with."""

    variables: Mapping[str, str] = field(default_factory=dict)

    def within(self, text: str) -> str:
        """Return the text with a digest in the place of every secret-looking variable's value, and of credentials."""
        for name, value in sorted(self.variables.items(), key=lambda pair: (-len(pair[1]), pair[0])):
            if value and looks_secret(name):
                text = text.replace(value, _digest(name, value))
        return hide_credentials(text)


def _digest(name: str, value: str) -> str:
    content = f"buildonce value\0{name}\0{value}".encode("utf-8", "surrogateescape")
    return f"sha256:{hashlib.sha256(content).hexdigest()}"

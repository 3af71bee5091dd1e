"""[io] The file that declares a project, on disk."""

from __future__ import annotations

from pathlib import Path

from buildonce.errors import ConfigurationError
from buildonce.project.keys import FILE_NAME
from buildonce.project.toml import Configuration, read_toml

_MARK = b"\xef\xbb\xbf"


def load_declaration(folder: Path, file: Path | None = None) -> Configuration:
    """Return what ``file`` declares, else the folder's buildonce.toml; nothing, with ``file`` None, where that is none.

    Raises `ConfigurationError`.
    """
    path = folder / (file or FILE_NAME)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        if file is None:
            return Configuration()
        raise ConfigurationError(f"there is no file `{path}`", help="name another with -f") from error
    except OSError as error:
        raise ConfigurationError(f"`{path}` cannot be read: {error.strerror}") from error
    try:
        text = content.removeprefix(_MARK).decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"`{path}` is not UTF-8: line {line} has the byte 0x{content[error.start]:02x}", help="save it as UTF-8"
        ) from error
    return read_toml(text, str(path))

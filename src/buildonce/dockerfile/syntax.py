"""What a Dockerfile says, as values: spans, flags, heredocs, instructions, stages."""

from __future__ import annotations

import re
from typing import TypeAlias

from msgspec import Struct

_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


class Span(Struct, frozen=True, kw_only=True):
    """Lines of a file, counted from 1, both ends included."""

    start: int
    end: int

    def __contains__(self, line: int) -> bool:
        return self.start <= line <= self.end


class Place(Struct, frozen=True, kw_only=True):
    """Some characters on one line; line and column count from 1."""

    line: int
    column: int
    width: int


class Directive(Struct, frozen=True, kw_only=True):
    """A parser directive such as ``# syntax=docker/dockerfile:1``; its name is in lower case."""

    name: str
    value: str
    line: int


class Flag(Struct, frozen=True, kw_only=True):
    """A ``--name`` or ``--name=value`` before an instruction's arguments, quotes removed."""

    name: str
    value: str | None
    place: Place


class Heredoc(Struct, frozen=True, kw_only=True):
    """A here-document; ``content`` is its lines as they stand in the file, each with its line end."""

    name: str
    content: str
    expand: bool = True
    strip_tabs: bool = False
    descriptor: int = 0

    @property
    def text(self) -> str:
        """The content, without leading tabs when it was opened by ``<<-``."""
        return _LEADING_TABS.sub("", self.content) if self.strip_tabs else self.content


class Instruction(Struct, frozen=True, kw_only=True):
    """One instruction as it was read, before its arguments mean anything.

    ``source`` is the exact text of the lines in ``span``; ``original`` the same with comments and continuations
    removed, on one line, without heredocs; ``args`` what follows the flags; ``words`` the arguments as the
    instruction's form splits them (ENV and LABEL: name, value, ``=`` or nothing, again and again); ``json`` the
    strings of the JSON form, or None; ``comments`` the comment lines directly above.
    """

    keyword: str
    span: Span
    source: str
    original: str
    flags: tuple[Flag, ...] = ()
    args: str = ""
    words: tuple[str, ...] = ()
    json: tuple[str, ...] | None = None
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()


class _Typed(Struct, frozen=True, kw_only=True):
    """An instruction with its arguments understood."""

    instruction: Instruction

    @property
    def keyword(self) -> str:
        return self.instruction.keyword

    @property
    def span(self) -> Span:
        return self.instruction.span


class From(_Typed, frozen=True, kw_only=True):
    """``FROM image [AS name]``; the name is in lower case."""

    image: str
    platform: str | None = None
    name: str | None = None


class Mount(Struct, frozen=True, kw_only=True):
    """One ``RUN --mount``; ``text`` is its value as written.

    In a `Run` as parsed, everything but ``from_`` may still hold variables and is not checked; in an expanded one
    it is. Sizes are bytes; ``env`` is None when not given.
    """

    text: str
    type: str = "bind"
    from_: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    id: str = ""
    sharing: str = ""
    required: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None


class Device(Struct, frozen=True, kw_only=True):
    """One ``RUN --device``."""

    name: str
    required: bool = False


class Run(_Typed, frozen=True, kw_only=True):
    """``RUN``; ``command`` is the JSON form's words, or the one string for the shell (then ``shell_form``)."""

    command: tuple[str, ...]
    shell_form: bool
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[Device, ...] = ()

    @property
    def heredocs(self) -> tuple[Heredoc, ...]:
        return self.instruction.heredocs


class Copy(_Typed, frozen=True, kw_only=True):
    """``COPY``; ``heredocs`` are the sources given in place, which BuildKit copies after ``sources``."""

    sources: tuple[str, ...]
    destination: str
    from_: str | None = None
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()


class Add(_Typed, frozen=True, kw_only=True):
    """``ADD``; ``keep_git_dir`` and ``unpack`` are None when not given."""

    sources: tuple[str, ...]
    destination: str
    chown: str | None = None
    chmod: str | None = None
    checksum: str | None = None
    link: bool = False
    keep_git_dir: bool | None = None
    unpack: bool | None = None
    exclude: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()


class Env(_Typed, frozen=True, kw_only=True):
    """``ENV``; ``legacy`` says that it was written ``ENV name value``."""

    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


class Label(_Typed, frozen=True, kw_only=True):
    """``LABEL``; ``legacy`` says that it was written ``LABEL name value``."""

    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


class Arg(_Typed, frozen=True, kw_only=True):
    """``ARG``; a name without default has None."""

    pairs: tuple[tuple[str, str | None], ...]


class Cmd(_Typed, frozen=True, kw_only=True):
    """``CMD``; see `Run` for ``command``."""

    command: tuple[str, ...]
    shell_form: bool


class Entrypoint(_Typed, frozen=True, kw_only=True):
    """``ENTRYPOINT``; see `Run` for ``command``."""

    command: tuple[str, ...]
    shell_form: bool


class Expose(_Typed, frozen=True, kw_only=True):
    """``EXPOSE``; ports are sorted as BuildKit sorts them, and written ``number/protocol`` once expanded."""

    ports: tuple[str, ...]


class Volume(_Typed, frozen=True, kw_only=True):
    """``VOLUME``."""

    paths: tuple[str, ...]


class User(_Typed, frozen=True, kw_only=True):
    """``USER``."""

    user: str


class Workdir(_Typed, frozen=True, kw_only=True):
    """``WORKDIR``; the path as written, relative or not."""

    path: str


class Onbuild(_Typed, frozen=True, kw_only=True):
    """``ONBUILD``; ``expression`` is the trigger as an image's config keeps it, ``trigger`` its keyword."""

    expression: str
    trigger: str


class Stopsignal(_Typed, frozen=True, kw_only=True):
    """``STOPSIGNAL``."""

    signal: str


class Healthcheck(_Typed, frozen=True, kw_only=True):
    """``HEALTHCHECK``; ``test`` begins with NONE, CMD or CMD-SHELL; times are nanoseconds, 0 when not given."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Shell(_Typed, frozen=True, kw_only=True):
    """``SHELL``."""

    shell: tuple[str, ...]


class Maintainer(_Typed, frozen=True, kw_only=True):
    """``MAINTAINER``."""

    name: str


TypedInstruction: TypeAlias = (
    From
    | Run
    | Copy
    | Add
    | Env
    | Arg
    | Label
    | Cmd
    | Entrypoint
    | Expose
    | Volume
    | User
    | Workdir
    | Onbuild
    | Stopsignal
    | Healthcheck
    | Shell
    | Maintainer
)


class Stage(Struct, frozen=True, kw_only=True):
    """A FROM and the instructions after it; ``index`` counts from 0, ``name`` is in lower case."""

    index: int
    name: str | None
    from_: From
    instructions: tuple[TypedInstruction, ...]
    span: Span

    @property
    def label(self) -> str:
        """The stage's name, or its number when it has none."""
        return self.name or str(self.index)


class Dockerfile(Struct, frozen=True, kw_only=True):
    """A whole Dockerfile; ``text`` is all of it (see `runes.encode`), ``path`` how messages name it."""

    path: str
    text: str
    directives: tuple[Directive, ...]
    escape: str
    global_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]

    @property
    def syntax(self) -> str | None:
        """The image that the ``syntax`` directive names."""
        return next((one.value.split(" ")[0] for one in self.directives if one.name == "syntax"), None)

    def find_stage(self, name: str) -> Stage | None:
        """Return the last stage with this name, whatever its case, or None."""
        return next((stage for stage in reversed(self.stages) if stage.name == name.lower()), None)

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import PROBLEMS, SyntaxProblem
from buildonce.dockerfile.runes import encode
from buildonce.dockerfile.syntax import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Mount,
    Onbuild,
    Place,
    Run,
    Shell,
    Span,
    TypedInstruction,
    User,
    Volume,
)

CORPUS = sorted((Path(__file__).parent.parent / "data" / "dockerfiles").iterdir())


def parse(text: str) -> Dockerfile:
    return parse_dockerfile(text.encode(), "Dockerfile")


def parse_one(line: str, *, head: str = "FROM a\n") -> TypedInstruction:
    return parse(head + line).stages[0].instructions[0]


def problems(text: str | bytes) -> list[tuple[str, int]]:
    with pytest.raises(SyntaxProblem) as caught:
        parse_dockerfile(text.encode() if isinstance(text, str) else text, "Dockerfile")
    assert all(one.code in PROBLEMS for one in caught.value.diagnostics)
    return [(one.code, one.line) for one in caught.value.diagnostics]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_spans_and_sources_are_the_lines_of_the_file(path: Path) -> None:
    content = path.read_bytes()
    file = parse_dockerfile(content, path.name)
    lines = [line.removesuffix("\r") for line in content.decode("utf-8-sig").split("\n")]
    last = 0
    for stage in file.stages:
        for typed in (stage.from_, *stage.instructions):
            assert last < typed.span.start <= typed.span.end <= stage.span.end
            assert typed.instruction.source.split("\n") == lines[typed.span.start - 1 : typed.span.end]
            last = typed.span.end
    assert encode(file.text) == content


def test_stages_arguments_and_directives() -> None:
    file = parse(
        "# syntax=docker/dockerfile:1 x\n# escape=\\\nARG A=1 B\nFROM $A AS One\nRUN x\n\nFROM --platform=p one\n"
    )
    assert file.syntax == "docker/dockerfile:1"
    assert [one.name for one in file.directives] == ["syntax", "escape"]
    assert [arg.pairs for arg in file.global_args] == [(("A", "1"), ("B", None))]
    assert [(stage.index, stage.name, stage.label, stage.span) for stage in file.stages] == [
        (0, "one", "one", Span(start=4, end=5)),
        (1, None, "1", Span(start=7, end=7)),
    ]
    assert file.stages[1].from_.platform == "p"
    assert file.find_stage("ONE") is file.stages[0]


def test_directives_end_at_the_first_line_that_is_none() -> None:
    assert parse("# hello\n# escape=`\nFROM a\n").escape == "\\"
    assert parse("\n# escape=`\nFROM a\n").escape == "\\"
    assert parse("\ufeff  #escape = `\nFROM a\n").escape == "`"


def test_comments_above_an_instruction_are_kept() -> None:
    stage = parse("# first\n\n# app is the app\nFROM a AS app\n#\nRUN x").stages[0]
    assert stage.from_.instruction.comments == ("first", "app is the app")
    assert stage.instructions[0].instruction.comments == ()


def test_continuations_drop_comments_and_blank_lines() -> None:
    typed = parse_one("RUN a \\\n # no\n\n  b \\  \n&& c")
    assert isinstance(typed, Run)
    assert typed.command == ("a   b && c",)
    assert typed.span == Span(start=2, end=6)
    assert typed.instruction.original == "RUN a   b && c"


def test_crlf_and_invalid_bytes_survive() -> None:
    content = b"FROM a\r\nRUN x\\\r\ny \xff\r\n"
    file = parse_dockerfile(content, "Dockerfile")
    assert encode(file.text) == content
    typed = file.stages[0].instructions[0]
    assert isinstance(typed, Run)
    assert typed.command == ("xy \udcff",)


@pytest.mark.parametrize(
    ("line", "command", "shell_form"),
    [
        ("CMD a  b", ("a  b",), True),
        ('CMD ["a", "b"]', ("a", "b"), False),
        ("CMD []", (), False),
        ("CMD", (), True),
        ("CMD ['a']", ("['a']",), True),
        ('CMD ["a"] x', ('["a"] x',), True),
        ('CMD ["\\ud800"]', ("\ufffd",), False),
        ('CMD ["a", 1e999]', ('["a", 1e999]',), True),
    ],
)
def test_commands(line: str, command: tuple[str, ...], shell_form: bool) -> None:
    for keyword, kind in (("CMD", Cmd), ("ENTRYPOINT", Entrypoint), ("RUN", Run)):
        typed = parse_one(line.replace("CMD", keyword))
        assert isinstance(typed, Cmd | Entrypoint | Run)
        assert isinstance(typed, kind)
        assert (typed.command, typed.shell_form) == (command, shell_form)


def test_copy_flags_are_read_with_their_places() -> None:
    typed = parse_one("COPY --from=x --chown=a:b \\\n  --exclude=*.md --exclude='b c' --link --parents=FALSE a b /c/")
    assert isinstance(typed, Copy)
    assert (typed.from_, typed.chown, typed.exclude, typed.link, typed.parents) == (
        "x",
        "a:b",
        ("*.md", "b c"),
        True,
        False,
    )
    assert (typed.sources, typed.destination) == (("a", "b"), "/c/")
    assert [flag.place for flag in typed.instruction.flags][:3] == [
        Place(line=2, column=6, width=8),
        Place(line=2, column=15, width=11),
        Place(line=3, column=3, width=14),
    ]


def test_add_flags() -> None:
    typed = parse_one("ADD --checksum=sha256:0 --keep-git-dir --unpack=false -- --x /y")
    assert isinstance(typed, Add)
    assert (typed.checksum, typed.keep_git_dir, typed.unpack, typed.link) == ("sha256:0", True, False, False)
    assert typed.sources == ("--x",)


def test_heredocs_of_a_copy_become_files() -> None:
    typed = parse_one("COPY <<a.txt x <<-'b' /d/\n$x\na.txt\n\t$y\n\tb\nUSER u")
    assert isinstance(typed, Copy)
    assert typed.sources == ("x",)
    assert [(one.name, one.text, one.expand) for one in typed.heredocs] == [
        ("a.txt", "$x\n", True),
        ("b", "$y\n", False),
    ]
    assert typed.span == Span(start=2, end=6)


def test_heredocs_of_a_run_are_at_hand() -> None:
    typed = parse_one("RUN <<A cat && 3<<-B cat\n1\nA\n\t2\n\tB\n")
    assert isinstance(typed, Run)
    assert [(one.name, one.descriptor, one.content) for one in typed.heredocs] == [("A", 0, "1\n"), ("B", 3, "\t2\n")]


@pytest.mark.parametrize(
    "line", ['RUN echo "<<EOF"', "RUN echo $((1<<2))", 'RUN ["a", "<<EOF"]', "RUN echo 'open <<EOF"]
)
def test_what_only_looks_like_a_heredoc(line: str) -> None:
    assert parse_one(line).instruction.heredocs == ()


def test_a_heredoc_name_may_follow_spaces() -> None:
    assert parse_one("RUN cat << EOF\nx\nEOF").instruction.heredocs[0].content == "x\n"


@pytest.mark.parametrize(
    ("line", "pairs", "legacy"),
    [
        ("ENV a=b", (("a", "b"),), False),
        ("ENV a=b c='d e' f=g\\ h i=", (("a", "b"), ("c", "'d e'"), ("f", "g\\ h"), ("i", "")), False),
        ('ENV a   b "c" = d', (("a", 'b "c" = d'),), True),
        ('ENV "a=b c"=d', (('"a', 'b c"=d'),), False),
    ],
)
def test_names_and_values(line: str, pairs: tuple[tuple[str, str], ...], legacy: bool) -> None:
    for keyword in ("ENV", "LABEL"):
        typed = parse_one(line.replace("ENV", keyword))
        assert isinstance(typed, Env | Label)
        assert (typed.pairs, typed.legacy) == (pairs, legacy)


def test_other_instructions() -> None:
    arg, expose, volume, user, shell = (
        parse('FROM a\nARG x y=1 z=\'a b\'\nEXPOSE 90 80/udp\nVOLUME [" /a ", "/b"]\nUSER  a b \nSHELL ["x", "-c"]\n')
        .stages[0]
        .instructions
    )
    assert isinstance(arg, Arg)
    assert arg.pairs == (("x", None), ("y", "1"), ("z", "'a b'"))
    assert isinstance(expose, Expose)
    assert expose.ports == ("80/udp", "90")
    assert isinstance(volume, Volume)
    assert volume.paths == ("/a", "/b")
    assert isinstance(user, User)
    assert user.user == "a b"
    assert isinstance(shell, Shell)
    assert shell.shell == ("x", "-c")


def test_healthcheck() -> None:
    typed = parse_one("HEALTHCHECK --interval=1m30s --timeout=1.5s --start-interval=0 --retries=+3 CMD a  b")
    assert isinstance(typed, Healthcheck)
    assert typed.test == ("CMD-SHELL", "a  b")
    assert (typed.interval, typed.timeout, typed.start_interval, typed.retries) == (90 * 10**9, 1_500_000_000, 0, 3)
    none = parse_one("HEALTHCHECK NONE")
    assert isinstance(none, Healthcheck)
    assert none.test == ("NONE",)


def test_onbuild_keeps_the_trigger_as_an_image_config_does() -> None:
    typed = parse_one("onbuild   RUN --network=none <<E\nx\nE")
    assert isinstance(typed, Onbuild)
    assert (typed.trigger, typed.expression) == ("RUN", "RUN --network=none <<E\nx\nE")


def test_run_settings() -> None:
    typed = parse_one(
        "RUN --network=host --security=insecure --device=vendor.com/a=b,required --mount=type=$T,from=x,dst=/y z"
    )
    assert isinstance(typed, Run)
    assert (typed.network, typed.security) == ("host", "insecure")
    assert [(one.name, one.required) for one in typed.devices] == [("vendor.com/a=b", True)]
    assert typed.mounts == (Mount(text="type=$T,from=x,dst=/y", type="$t", from_="x", target="/y"),)


REFUSED = [
    ("", [("DF001", 1)]),
    ("# only\n\n", [("DF001", 2)]),
    ("ARG a\n", [("DF017", 1)]),
    ("FORM a\nRUN x\nRUN y\n", [("DF002", 1)]),
    ("RUN x\nFROM a\n", [("DF016", 1)]),
    ("FROM a\nRUN x\n\\\n", [("DF002", 3)]),
    ("# escape=x\nFROM a", [("DF003", 1)]),
    ("# escape=`\n# escape=`\nFROM a", [("DF004", 2)]),
    ("FROM a\nRUN <<E\nx\n", [("DF006", 2)]),
    ("FROM a\nCOPY a <<E\nE\n", [("DF007", 2)]),
    ("FROM a\nCMD [1]\n", [("DF008", 2)]),
    ('FROM a\nCMD ["a", [[]]]\n', [("DF008", 2)]),
    ("FROM\n", [("DF009", 1)]),
    ("FROM a b\n", [("DF009", 1)]),
    ("FROM a\nCOPY a\n", [("DF009", 2)]),
    (
        "FROM a\nUSER\nWORKDIR\nVOLUME\nEXPOSE\nENV\nARG\nSTOPSIGNAL\nONBUILD\nHEALTHCHECK\n",
        [("DF009", n) for n in range(2, 11)],
    ),
    ("FROM a\nCOPY --frm=x a b\nUSER --x y", [("DF010", 2), ("DF010", 3)]),
    (
        "FROM a\nCOPY --from a b\nCOPY --link=x a b\nCOPY --link= a b\nCOPY --from=a --from=b c d",
        [("DF011", n) for n in range(2, 6)],
    ),
    ("FROM a\nENV a\nLABEL a=b c\nENV =x\nARG =x\n", [("DF014", n) for n in range(2, 6)]),
    ("FROM a AS 1a\nFROM b AS a/b\n", [("DF015", 1), ("DF015", 2)]),
    ("FROM a\nRUN --mount=from=$x,dst=/ y\n", [("DF023", 2)]),
    ('FROM a\nRUN --mount="\\"a" y\n', [("DF024", 2)]),
    (
        "FROM a\nRUN --network=x y\nRUN --security=x y\nRUN --device=required=x y",
        [("DF025", 2), ("DF025", 3), ("DF024", 4)],
    ),
    ("FROM a\nONBUILD FROM b\nONBUILD ONBUILD RUN x\n", [("DF026", 2), ("DF026", 3)]),
    (
        "FROM a\nHEALTHCHECK NONE x\nHEALTHCHECK x\nHEALTHCHECK CMD\nHEALTHCHECK --timeout=1 CMD x",
        [("DF027", n) for n in range(2, 6)],
    ),
    ("FROM a\nHEALTHCHECK --timeout=1us CMD x\nHEALTHCHECK --retries=-1 CMD x", [("DF027", 2), ("DF027", 3)]),
    ("FROM a\nSHELL x y\n", [("DF028", 2)]),
    ('FROM a\nVOLUME [""]\n', [("DF031", 2)]),
]


@pytest.mark.parametrize(("text", "expected"), REFUSED, ids=[f"{text[:40]!r}" for text, _ in REFUSED])
def test_refused(text: str, expected: list[tuple[str, int]]) -> None:
    assert problems(text) == expected


def test_a_line_longer_than_buildkit_reads_is_refused() -> None:
    assert parse(f"FROM a\nRUN {'x' * 65531}\n").stages[0].instructions
    assert problems(f"FROM a\nRUN {'x' * 65532}\n") == [("DF005", 2)]


def test_flags_are_garbled_beyond_ascii_as_buildkit_does_it() -> None:
    typed = parse_one("COPY --from=\u00e9 a b")
    assert isinstance(typed, Copy)
    assert typed.from_ == "\u00c3\u00a9"


def test_arg_and_stopsignal_ignore_flags() -> None:
    assert len(parse("FROM a\nARG --x y\nSTOPSIGNAL --x 9\n").stages[0].instructions) == 2


def test_message_points_at_the_place_and_suggests() -> None:
    with pytest.raises(SyntaxProblem) as caught:
        parse("FROM a\nCOPY --form=x a b\n")
    assert str(caught.value) == (
        "error[DF010]: COPY has no flag `--form`\n"
        " --> Dockerfile:2:6\n"
        "  |\n"
        "2 | COPY --form=x a b\n"
        "  |      ^^^^^^ unknown flag\n"
        "  |\n"
        "help: did you mean `--from`?"
    )


@pytest.mark.parametrize(
    "content",
    [b"# syntax=a" + b" " * 60_000 + b"b\nFROM a\n", b"FROM a\nRUN cat <<" + b" " * 60_000 + b"a<b\n"],
    ids=["directive", "heredoc"],
)
def test_a_long_line_takes_no_quadratic_time(content: bytes) -> None:
    started = time.process_time()
    parse_dockerfile(content, "Dockerfile")
    assert time.process_time() - started < 1


def test_a_directive_of_spaces_alone_is_its_last_space() -> None:
    assert parse("# syntax= \t \nFROM a\n").directives[0].value == " "


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.text(alphabet="FROMaAScCOPYRUNEV=<>-\"'[]\\\n \t#$`,", max_size=80).map(str.encode)
    )
)
def test_any_bytes_are_parsed_or_refused_with_a_place(content: bytes) -> None:
    try:
        file = parse_dockerfile(content, "Dockerfile")
        assert encode(file.text) == content
    except SyntaxProblem as problem:
        found = problem
    else:
        return
    assert str(found)
    assert all(1 <= one.line <= content.count(b"\n") + 1 for one in found.diagnostics)

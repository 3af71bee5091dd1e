from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.rewriting import append_stage, blank_instructions
from buildonce.dockerfile.runes import decode, encode


def test_blanked_instructions_leave_all_other_bytes_and_line_numbers() -> None:
    content = b"\xef\xbb\xbfFROM a\r\nRUN <<E\r\nx \xff\r\nE\r\n# c\nCOPY b \\\n /c"
    file = parse_dockerfile(content, "Dockerfile")
    run, copy = file.stages[0].instructions
    assert encode(blank_instructions(file, [run.span])) == b"\xef\xbb\xbfFROM a\r\n\r\n\r\n\r\n# c\nCOPY b \\\n /c"
    assert encode(blank_instructions(file, [file.stages[0].from_.span, copy.span])) == (
        b"\xef\xbb\xbf\r\nRUN <<E\r\nx \xff\r\nE\r\n# c\n\n"
    )


def test_blanking_does_not_make_directives() -> None:
    file = parse_dockerfile(b"ARG a\n# escape=`\nFROM b\n", "Dockerfile")
    text = blank_instructions(file, [file.global_args[0].span])
    assert parse_dockerfile(text.encode(), "Dockerfile").escape == "\\"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\n", "FROM a\nFROM b\nRUN x\n"),
        ("FROM a", "FROM a\nFROM b\nRUN x\n"),
        ("FROM a\r\nRUN y", "FROM a\r\nRUN y\r\nFROM b\r\nRUN x\r\n"),
        ("FROM a\nRUN y \\\n", "FROM a\nRUN y \nFROM b\nRUN x\n"),
        ("FROM a\nRUN y \\  \n\n# c\n", "FROM a\nRUN y   \n\n# c\nFROM b\nRUN x\n"),
        ("# escape=`\nFROM a\nRUN c:\\ `", "# escape=`\nFROM a\nRUN c:\\ \nFROM b\nRUN x\n"),
        ("FROM a\nRUN y \\\n\\\n \\", "FROM a\nRUN y \n\n \nFROM b\nRUN x\n"),
        ("FROM a\nRUN <<E\nE", "FROM a\nRUN <<E\nE\nFROM b\nRUN x\n"),
    ],
)
def test_appended_stage_is_a_stage_of_its_own(text: str, expected: str) -> None:
    result = append_stage(text, ["FROM b", "RUN x"])
    assert result == expected
    stages = parse_dockerfile(result.encode(), "Dockerfile").stages
    assert [typed.keyword for typed in stages[-1].instructions] == ["RUN"]


def test_escape_characters_that_would_dangle_again_are_refused() -> None:
    with pytest.raises(Fault) as caught:
        append_stage("FROM a\nRUN y \\ \\", ["FROM b"])
    assert caught.value.problem == "DF037"


@given(st.binary())
def test_any_bytes_survive(content: bytes) -> None:
    assert encode(decode(content)) == content

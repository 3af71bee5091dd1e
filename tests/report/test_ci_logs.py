"""What a CI job's log looks like."""

from __future__ import annotations

import pytest

from buildonce.diagnostics import Diagnostic
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.errors import EngineFailed, UsageError
from buildonce.events import Activity, EngineLine, Event, Finished, Started, Warned
from buildonce.report.ci_logs import FoldedProgress, Provider, annotate_error, command, find_provider


def log(provider: Provider, *events: Event, close: bool = True) -> list[str]:
    lines: list[str] = []
    progress = FoldedProgress(lines.append, provider, token="t0k", clock=lambda: 7.9)
    for event in events:
        progress(event)
    if close:
        progress.close()
    return lines


def started(node: str) -> Started:
    return Started(activity=Activity.COMPILE, node=node, reason="no core")


def finished(node: str) -> Finished:
    return Finished(activity=Activity.COMPILE, node=node, seconds=2.0)


def said(node: str, text: str) -> EngineLine:
    return EngineLine(node=node, text=text)


def test_what_an_engine_says_folds_and_commands_nothing() -> None:
    assert log(
        Provider.GITHUB, started("a"), said("a", "::add-mask::x"), said("a", "##[add-mask]x"), finished("a")
    ) == [
        "::group::compiling      a  (no core)",
        "::stop-commands::t0k",
        "  [a] ::add-mask::x",
        "  [a] ##[add-mask]x",
        "::t0k::",
        "::endgroup::",
        "compiled       a  2.0 s",
    ]


def test_the_first_engine_is_shown_as_it_comes_and_the_others_after_it() -> None:
    events: list[Event] = [started("a"), said("a", "1"), started("b"), said("b", "2"), Warned(message="w")]
    shown = log(Provider.GITHUB, *events, close=False)
    assert shown[-1] == "  [a] 1"
    shown = log(Provider.GITHUB, *events, finished("b"), said("a", "3"), finished("a"))
    at = {line: number for number, line in enumerate(shown)}
    assert at["  [a] 1"] < at["  [a] 3"] < at["compiled       a  2.0 s"] < at["  [b] 2"]
    assert at["  [b] 2"] < at["compiled       b  2.0 s"] < at["::warning::w"]
    assert shown.count("::endgroup::") == shown.count("::t0k::") == 2


def test_work_that_did_not_end_is_shown_to_its_last_line() -> None:
    events: list[Event] = [started("a"), said("a", "1"), started("b"), said("b", "error: no")]
    shown = log(Provider.GITHUB, *events)
    assert shown[-6:] == [
        "::group::compiling      b  (no core)",
        "::stop-commands::t0k",
        "  [b] error: no",
        "::t0k::",
        "::endgroup::",
        "b did not end",
    ]


def test_the_same_node_twice_is_two_groups() -> None:
    shown = log(
        Provider.GITHUB, started("a"), said("a", "1"), finished("a"), started("a"), said("a", "2"), finished("a")
    )
    assert [line for line in shown if line.startswith(("::group", "  ["))] == [
        "::group::compiling      a  (no core)",
        "  [a] 1",
        "::group::compiling      a  (no core)",
        "  [a] 2",
    ]


def test_sections_of_gitlab_have_a_time_and_a_name_each() -> None:
    shown = log(Provider.GITLAB, started("a"), said("a", "1"), finished("a"), Warned(message="w"))
    assert shown == [
        "\x1b[0Ksection_start:7:buildonce_1[collapsed=true]\r\x1b[0Kcompiling      a  (no core)",
        "  [a] 1",
        "\x1b[0Ksection_end:7:buildonce_1\r\x1b[0K",
        "compiled       a  2.0 s",
        "warning: w",
    ]


def test_what_waits_is_bounded() -> None:
    events: list[Event] = [started("a"), started("b"), *(said("b", str(number)) for number in range(30_000))]
    shown = log(Provider.GITHUB, *events)
    assert len(shown) < 20_020
    assert "  [b] 29999" in shown


@pytest.mark.parametrize(
    ("environment", "provider"),
    [
        ({"GITHUB_ACTIONS": "true"}, Provider.GITHUB),
        ({"GITLAB_CI": "true"}, Provider.GITLAB),
        ({"GITHUB_ACTIONS": "true", "BUILDONCE_CI": "off"}, None),
        ({"CI": "true"}, None),
        ({}, None),
    ],
)
def test_the_provider_is_found_in_the_environment(environment: dict[str, str], provider: Provider | None) -> None:
    assert find_provider(environment) is provider


def test_a_command_says_only_what_it_is_given() -> None:
    said = command("error", "100%\r\n::set-output name=a::b", file="a,b:c%d\ne", line=0)
    assert said == "::error file=a%2Cb%3Ac%25d%0Ae::100%25%0D%0A::set-output name=a::b"
    assert "\n" not in said


def test_an_error_is_shown_where_it_is() -> None:
    one = Diagnostic(code="SYNTAX", message="no", path="/checkout/sub/Dockerfile", line=3, column=2, help="do")
    assert list(annotate_error(SyntaxProblem([one]), root="/checkout")) == [
        "::error file=sub/Dockerfile,line=3,col=2,title=SYNTAX::no%0Ado"
    ]
    failed = EngineFailed("it failed\nat last", place=("/checkout/Dockerfile", 9))
    assert list(annotate_error(failed, root="/checkout")) == [
        "::error file=Dockerfile,line=9,title=ENGINE-FAILED::it failed%0Aat last"
    ]
    assert list(annotate_error(UsageError("no"), root="")) == ["::error title=USAGE::no"]

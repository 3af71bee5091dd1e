"""GitHub's expressions, as far as our workflows use them."""

from __future__ import annotations

import pytest

from buildonce.ci.expressions import evaluate, interpolate
from buildonce.errors import UsageError

CONTEXT = {
    "github": {"event_name": "pull_request", "repository": "acme/family", "event": {"number": {"is": "deep"}}},
    "needs": {"plan": {"result": "success", "outputs": {"has-bases": "true", "compile": '{"include":[{"job":"a"}]}'}}},
    "matrix": {"job": "bases-1", "emulate": ""},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.event_name == 'pull_request'", True),
        ("github.event_name == 'PULL_REQUEST'", True),
        ("github.event_name != 'push'", True),
        ("github.event_name != 'pull_request' || github.repository == 'acme/family'", True),
        ("github.event_name == 'push' && github.repository == 'acme/family'", False),
        ("${{ !cancelled() && needs.plan.outputs.has-bases == 'true' }}", True),
        ("!(needs.plan.result == 'success' || needs.plan.result == 'skipped')", False),
        ("'it''s'", "it's"),
        ("matrix.nothing", ""),
        ("matrix.nothing.more == ''", True),
        ("github.event.number.is", "deep"),
        ("matrix.emulate != ''", False),
        ("matrix.emulate || 'none'", "none"),
        ("matrix.job && 'yes'", "yes"),
        ("fromJSON(needs.plan.outputs.compile)", {"include": [{"job": "a"}]}),
        ("true == false", False),
    ],
)
def test_expressions_have_the_values_that_github_gives_them(text: str, value: object) -> None:
    assert evaluate(text, CONTEXT, {"cancelled": lambda: False}) == value


def test_values_in_a_text() -> None:
    assert (
        interpolate("a-${{ matrix.job }}-${{github.repository}}-${{ matrix.no }}", CONTEXT) == "a-bases-1-acme/family-"
    )
    assert interpolate("$HOME ${x} $(id)", CONTEXT) == "$HOME ${x} $(id)"


@pytest.mark.parametrize("text", ["", "a ==", "(a", "a b", "format('x')", "a[0]", "'open", "a == == b", "1 + 1"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no expression that is known here"):
        evaluate(text, CONTEXT)

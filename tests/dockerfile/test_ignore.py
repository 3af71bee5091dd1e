from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.dockerfile.globs import has_wildcard, match_glob
from buildonce.dockerfile.ignore import IgnoreRules, compile_ignore, compile_patterns
from buildonce.dockerfile.problems import Fault

EXCLUDED = [
    ("a", "a", True),
    ("a", "a/b", True),
    ("a", "b/a", False),
    ("/a/", "a/b", True),
    ("./a//b/../c", "a/c", True),
    ("*.md", "x.md", True),
    ("*.md", "d/x.md", False),
    ("*/*.md", "d/x.md", True),
    ("**/*.md", "x.md", True),
    ("**/*.md", "d/e/x.md", True),
    ("**/x", "d/e/x", True),
    ("**/x", "d/ex", False),
    ("**x", "d/ex", True),
    ("d/**", "d", False),
    ("d/**", "d/e/f", True),
    ("d/**/f", "d/f", True),
    ("d/**/f", "d/e/g/f", True),
    ("**", "anything/at/all", True),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("[a-c]x", "bx", True),
    ("[^a-c]x", "bx", False),
    ("a\\*", "a*", True),
    ("a\\*", "ab", False),
    ("a.b", "axb", False),
    ("x^y*", "x^yz", False),
    ("x^y", "x^y", True),
    ("\\d", "7", True),
    ("(a|b)+", "(a|b)+", True),
    ("  spaced  ", "spaced", True),
    ("# comment", "# comment", False),
    (" # not a comment", "# not a comment", True),
    ("\ufeffa", "a", True),
    ("a\r", "a", True),
    ("*\n!a", "a", False),
    ("*\n!a", "b", True),
    ("*\n!a/b", "a/b/c", False),
    ("*\n!a/b", "a/c", True),
    ("*\n! a ", "a", False),
    ("!a\na", "a", True),
    ("*\n!a\na/x", "a/x", True),
    ("", "a", False),
]


@pytest.mark.parametrize(("text", "path", "expected"), EXCLUDED, ids=[f"{text!r}-{path}" for text, path, _ in EXCLUDED])
def test_path_is_excluded(text: str, path: str, expected: bool) -> None:
    rules = compile_ignore(text)
    assert rules.excludes(path) is expected
    assert descend(rules, path) is expected


def descend(rules: IgnoreRules, path: str) -> bool:
    """Decide on a path as a walk does, directory by directory."""
    excluded = False
    matched: tuple[bool, ...] = ()
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        excluded, matched = rules.enter("/".join(parts[:end]), matched)
    return excluded


@pytest.mark.parametrize("text", ["!", "! ", "[", "a[", "[]", "[a-]", "[-a]", "a\\", "\\y", "[a*]"])
def test_malformed_pattern_is_refused(text: str) -> None:
    with pytest.raises(Fault) as caught:
        compile_ignore(text)
    assert caught.value.problem == "DF034"


def test_the_deciding_pattern_is_known() -> None:
    rules = compile_ignore("*.log\nbuild\n!build/keep\n")
    assert [getattr(rules.deciding(path), "text", None) for path in ("x.log", "build/a", "build/keep")] == [
        "*.log",
        "build",
        None,
    ]
    assert rules.has_exceptions
    assert not compile_patterns(["a"]).has_exceptions


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("*a" * 12 + "b", "a" * 80), ("**/" * 10 + "b*", "a/" * 50 + "c"), ("*a" * 1000 + "[b]", "a" * 3000)],
    ids=["stars", "directories", "long"],
)
def test_many_wildcards_take_no_exponential_time(pattern: str, path: str) -> None:
    started = time.process_time()
    assert not compile_patterns([pattern]).excludes(path)
    assert time.process_time() - started < 1


PARTS = st.sampled_from(["a", "b", "*", "**", "/", "**/", "?", "[^a]", "[ab]", "\\*", "\\d", "x^"])


@given(st.lists(PARTS, min_size=1, max_size=8).map("".join), st.text(alphabet="ab/1\n*", max_size=10))
def test_both_ways_to_match_agree(pattern: str, path: str) -> None:
    for rule in compile_patterns([pattern]).patterns:
        assert rule.matches(path) == replace(rule, longest=-1).matches(path)


PATTERNS = st.lists(st.text(alphabet="ab/*?!", min_size=1, max_size=6), max_size=4)
PATHS = st.lists(st.text(alphabet="ab", min_size=1, max_size=2), min_size=1, max_size=4).map("/".join)


@given(PATTERNS, PATHS)
def test_a_walk_without_exceptions_decides_as_a_single_look(patterns: list[str], path: str) -> None:
    rules = compile_patterns(pattern.replace("!", "") for pattern in patterns)
    assert descend(rules, path) == rules.excludes(path)


@given(PATTERNS, PATHS)
def test_any_patterns_compile_or_are_refused(patterns: list[str], path: str) -> None:
    try:
        rules = compile_patterns(patterns)
    except Fault:
        return
    assert rules.excludes(path) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*", "abc", True),
        ("*", "a/b", False),
        ("a*", "a", True),
        ("a*/b", "abc/b", True),
        ("a*b*c", "axbxbc", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[^b-d]", "abc", False),
        ("[\\]a]", "]", True),
        ("[x\\-]", "-", True),
        ("a\\*b", "a*b", True),
        ("a?b", "a\u263ab", True),
        ("*x", "xxx", True),
        ("[^a]", "/", True),
        ("*[^z]*b", "q/ b", False),
        ("[z-a]", "b", False),
        ("[^z-a]", "b", True),
        ("a**b", "axyb", True),
        ("", "", True),
    ],
)
def test_glob(pattern: str, path: str, expected: bool) -> None:
    assert match_glob(pattern, path) is expected


def test_wildcards_are_seen_unless_escaped() -> None:
    assert [has_wildcard(path) for path in ("a", "a*", "\\*", "\\\\*", "a[b]", "a?")] == [
        False,
        True,
        False,
        True,
        True,
        True,
    ]

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.words import expand, expand_words, split_words

ENV = {"A": "one", "EMPTY": "", "PATHS": "/usr/lib/x.tar.gz", "SPACED": "x y", "STAR": "a*b", "LINES": "a\nb"}

EXPANSIONS = [
    ("plain", "plain"),
    ("$A", "one"),
    ("${A}", "one"),
    ("$A$A", "oneone"),
    ("$A-x", "one-x"),
    ("$AB", ""),
    ("$", "$"),
    ("$ x", "$ x"),
    ("a$", "a$"),
    ("$1A", "A"),
    ("$12", ""),
    ("$?x", "x"),
    (r"\$A", "$A"),
    (r"\\$A", r"\one"),
    (r"\x", "x"),
    ("x\\", "x"),
    ("'$A'", "$A"),
    ('"$A"', "one"),
    (r'"\$A"', "$A"),
    (r'"\x"', r"\x"),
    (r'"a\"b"', 'a"b'),
    ("'a\\'", "a\\"),
    ("a'b'\"c\"", "abc"),
    ("${EMPTY-d}", ""),
    ("${EMPTY:-d}", "d"),
    ("${NONE-d}", "d"),
    ("${NONE:-${A}}", "one"),
    ("${NONE:-'q q'}", "q q"),
    ("${A+set}", "set"),
    ("${A:+set}", "set"),
    ("${EMPTY+set}", "set"),
    ("${EMPTY:+set}", ""),
    ("${NONE+set}", ""),
    ("${A?message}", "one"),
    ("${EMPTY?message}", ""),
    ("${PATHS#*/}", "usr/lib/x.tar.gz"),
    ("${PATHS##*/}", "x.tar.gz"),
    ("${PATHS%.*}", "/usr/lib/x.tar"),
    ("${PATHS%%.*}", "/usr/lib/x"),
    ("${PATHS#nope}", "/usr/lib/x.tar.gz"),
    ("${PATHS/\\//-}", "-usr/lib/x.tar.gz"),
    ("${PATHS//\\//-}", "-usr-lib-x.tar.gz"),
    ("${PATHS//?.?/_}", "/usr/lib/_a_z"),
    ("${STAR#a\\*}", "b"),
    ("${STAR%\\*?}", "a"),
    ("${A//o/$A}", "onene"),
    ("${A///x}", "xoxnxex"),
    ("${A//*/x}", "x"),
    ("${A/n/\\$0}", "o\\$0e"),
    ("${A//n/\\$0}", "o\\ne"),
    ("${LINES#*b}", "a\nb"),
    ("${NONE#x}", ""),
    ("<<EOF", "<<EOF"),
    ("a < b", "a < b"),
    ("\ufeffx", "x"),
    ("\udcff", "\ufffd"),
    ("\u00e9${A}\u00e9", "\u00e9one\u00e9"),
    ("$A\u00e9", ""),
]


@pytest.mark.parametrize(("word", "expected"), EXPANSIONS, ids=[word for word, _ in EXPANSIONS])
def test_word_is_expanded(word: str, expected: str) -> None:
    assert expand(word, ENV).text == expected


BROKEN = ["'x", '"x', '"x\\"', "${", "${A", "${}", "${:x}", "${{A}}", "${A:", "${A:-x", "${A=x}", "${A:#x}", "${A!x}"]
BROKEN += ["${A/x", "${A/x/", "${A//x}", "${A#\\x}", "${A:=x}", "${A"]


@pytest.mark.parametrize("word", BROKEN)
def test_broken_word_is_refused(word: str) -> None:
    with pytest.raises(Fault) as caught:
        expand(word, ENV)
    assert caught.value.problem == "DF013"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("${NONE?}", "NONE: is not allowed to be unset"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${NONE:?set it}", "NONE: set it"),
    ],
)
def test_variable_that_must_be_set_is_named(word: str, message: str) -> None:
    with pytest.raises(Fault) as caught:
        expand(word, ENV)
    assert (caught.value.problem, caught.value.message) == ("DF033", message)


def test_names_are_noted_even_where_their_value_is_not_taken() -> None:
    expansion = expand("${A:-$NONE} ${EMPTY:+$PATHS} $OTHER", ENV)
    assert expansion.used == {"A", "EMPTY", "PATHS"}
    assert expansion.unset == {"NONE", "OTHER"}


def test_escape_character_is_a_setting() -> None:
    assert expand("`$A c:\\x", ENV, escape="`").text == "$A c:\\x"


def test_quotes_are_kept_without_quotes() -> None:
    assert expand('it\'s "$A" \\$A', ENV, quotes=False).text == 'it\'s "one" $A'


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("a  b", ("a", "b")),
        ("$SPACED", ("x", "y")),
        ('"$SPACED"', ("x y",)),
        ("a\\ b c", ("a b", "c")),
        ("''", ()),
        ("a${NONE:-b}", ("b",)),
    ],
    ids=["spaces", "expanded-spaces", "quoted", "escaped", "empty", "buildkit-drops-what-stands-before-a-default"],
)
def test_words_are_split_after_expansion(word: str, words: tuple[str, ...]) -> None:
    assert expand_words(word, ENV) == words


def test_split_keeps_variables_quotes_and_escapes_when_asked() -> None:
    assert split_words("a $X \"b 'c'\" \\d", raw_quotes=True, raw_escapes=True) == ("a", "$X", "\"b 'c'\"", "\\d")
    assert split_words("${X:-y} ${X/a/b}") == ("${X:-y}", "${X/a/b}")


def test_deep_nesting_is_refused_and_does_not_overflow() -> None:
    with pytest.raises(Fault, match="deep"):
        expand("${A:-" * 5000 + "}" * 5000, {})


@pytest.mark.parametrize("pattern", ["#" + "*a" * 2000 + "b", "%%b" + "a*" * 2000, "//a*" + "a" * 1000 + "b/x"])
def test_many_stars_take_no_exponential_time(pattern: str) -> None:
    started = time.process_time()
    assert expand("${A" + pattern + "}", {"A": "a" * 4000}).text == "a" * 4000
    assert time.process_time() - started < 1


@pytest.mark.parametrize("word", ["${A//a/" * 40 + "$A" + "}" * 40, "$B" * 3], ids=["nested", "long"])
def test_an_expansion_that_grows_without_measure_is_refused(word: str) -> None:
    with pytest.raises(Fault, match="more than"):
        expand(word, {"A": "a" * 20, "B": "b" * 100_000})


@given(st.text(alphabet="aA${}:-+?#%/*\\'\" <", max_size=30))
def test_any_word_is_expanded_or_refused(word: str) -> None:
    try:
        expansion = expand(word, ENV)
    except Fault:
        return
    assert not expansion.used & expansion.unset


@given(st.text(alphabet=st.characters(blacklist_characters="$'\"\\<\ufeff", blacklist_categories=["Cs"])))
def test_word_without_special_characters_stays(word: str) -> None:
    assert expand(word, {}).text == word

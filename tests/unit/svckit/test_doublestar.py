"""Patterns as Go's library doublestar has them."""

import time

import pytest

from svckit.doublestar import Doublestar, PatternError

# Written by hand from the library's documentation.
MATCHING = [
    ("", "anything/at/all"),
    ("app", "app"),
    ("*", "app"),
    ("a*", "a"),
    ("*p", "app"),
    ("a*p", "app"),
    ("*", ".hidden"),
    ("v*.*", "v1.2"),
    ("**", "app"),
    ("**", "team/deep/app"),
    ("**/app", "app"),
    ("**/app", "team/app"),
    ("**/app", "team/deep/app"),
    ("team/**", "team/app"),
    ("team/**", "team/deep/app"),
    ("team/**/app", "team/app"),
    ("team/**/app", "team/a/b/c/app"),
    ("**/deep/**", "team/deep/app"),
    ("**/deep/**", "deep/app"),
    ("**/**", "app"),
    ("release-**", "release-1.0"),
    ("**-rc", "1.0-rc"),
    ("a**b", "a-b"),
    ("***", "app"),
    ("v?", "v1"),
    ("???", "a☺c"),
    ("v[0-9]", "v7"),
    ("v[^0-9]", "vx"),
    ("v[!0-9]", "vx"),
    ("[a-cx]", "x"),
    ("[x-]", "-"),
    ("[-x]", "-"),
    ("[a-c-z]", "-"),
    (r"[\]a]", "]"),
    (r"[\-x]", "-"),
    (r"[\\]", "\\"),
    ("[^^]", "a"),
    ("[[]", "["),
    ("[{]", "{"),
    ("[à-ÿ]*", "é"),
    ("{latest,stable}", "stable"),
    ("v{1,2}.{0,1}", "v2.1"),
    ("v{,1}", "v"),
    ("v{}", "v"),
    ("v{1}", "v1"),
    ("{1..3}", "1..3"),
    ("{team/**,app}", "team/deep/app"),
    ("{team,other}/*", "other/app"),
    ("**/{app,{web,api}-*}", "a/api-1"),
    (r"{a\,b,c}", "a,b"),
    (r"{a\},c}", "a}"),
    (r"\*", "*"),
    (r"\{a,b\}", "{a,b}"),
    (r"a\/b", "a/b"),
    ("a,b", "a,b"),
    ("]", "]"),
    ("[z-a]", "z"),
    (".", "."),
    ("a+(b)|c$^", "a+(b)|c$^"),
]
OTHERS = [
    ("app", "apps"),
    ("app", "App"),
    ("app", "team/app"),
    ("*", "team/app"),
    ("*/*", "app"),
    ("*/app", "a/b/app"),
    ("a*", "ab/c"),
    ("team/**", "team"),
    ("team/**", "teams/app"),
    ("**/app", "team/webapp"),
    ("**/app", "app/x"),
    ("team/**/app", "team/webapp"),
    ("a**b", "a/b"),
    ("**-rc", "a/1-rc"),
    ("v?", "v"),
    ("v?", "v10"),
    ("a?b", "a/b"),
    ("v[0-9]", "v"),
    ("v[0-9]", "vx"),
    ("v[^0-9]", "v7"),
    ("a[^x]b", "a/b"),
    ("a[+-9]b", "a/b"),
    ("a[/]b", "a/b"),
    ("[z-a]", "b"),
    ("{latest,stable}", "unstable"),
    ("{latest,stable}", "{latest,stable}"),
    ("{team/**,app}", "team"),
    ("{1..3}", "2"),
    (r"\*", "a"),
    (".", "a"),
    ("v1.0", "v1x0"),
    ("a", ""),
    ("*.sig", "sha256-0.sig\n"),
]
MALFORMED = [
    "[",
    "a[",
    "[]",
    "[]a]",
    "[^",
    "[^]",
    "[a",
    "[a-",
    r"[\]",
    "a\\",
    "{",
    "{a",
    "{a,{b}",
    "ab{c,d}[",
    "a}",
    "{a}}",
]


@pytest.mark.parametrize(("pattern", "name"), MATCHING)
def test_a_pattern_matches_a_whole_name(pattern: str, name: str) -> None:
    assert Doublestar.parse(pattern).matches(name)


@pytest.mark.parametrize(("pattern", "name"), OTHERS)
def test_a_pattern_matches_nothing_else(pattern: str, name: str) -> None:
    assert not Doublestar.parse(pattern).matches(name)


@pytest.mark.parametrize("pattern", MALFORMED)
def test_a_malformed_pattern_is_refused_and_not_guessed_at(pattern: str) -> None:
    with pytest.raises(PatternError):
        Doublestar.parse(pattern)


@pytest.mark.parametrize("pattern", ["{a,b}" * 11, "{" * 500 + "a,b" + "}" * 500, "{a,b}" + "x" * 20_000])
def test_braces_that_stand_for_too_much_are_refused_at_once(pattern: str) -> None:
    begin = time.process_time()
    with pytest.raises(PatternError):
        Doublestar.parse(pattern)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 500 + "b", "a" * 128),
        ("**/" * 300 + "b", "/".join("a" * 100)),
        ("*a" * 10 + "b", "a" * 128),
        ("{" + ",".join("*a" * 5 for _ in range(90)) + "}b", "a" * 255),
        ("[^b]*" * 200 + "b", "a" * 255),
    ],
    ids=["stars", "folders", "few stars", "alternatives", "classes"],
)
def test_no_pattern_takes_longer_than_its_length_and_that_of_the_name_allow(pattern: str, name: str) -> None:
    compiled = Doublestar.parse(pattern)
    begin = time.process_time()
    assert not any(compiled.matches(name) for _ in range(10))
    assert time.process_time() - begin < 1


def test_a_pattern_is_compiled_once() -> None:
    assert Doublestar.parse("v*") is Doublestar.parse("v*")


def test_two_readings_of_a_text_are_equal() -> None:
    assert Doublestar.parse("v*") == Doublestar.parse("v*")
    assert Doublestar.parse("v*") != Doublestar.parse("v?")

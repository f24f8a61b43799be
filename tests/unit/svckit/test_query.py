from datetime import UTC, datetime

import pytest

from svckit.errors import Invalid
from svckit.query import AllOf, AnyOf, Exact, Form, Fuzzy, Key, Order, Query, Range, parse_query, parse_sort

KEYS = {
    "name": Key("name"),
    "ProjectID": Key("project_id", int),
    "public": Key("public", bool),
    "creation_time": Key("create_time", datetime),
    "labels": Key("labels", int, frozenset({Form.ALL_OF})),
    "tags": Key("tags", str, nullable=True),
}


@pytest.mark.parametrize(
    "text, clauses",
    [
        ("", ()),
        ("  ", ()),
        ("name=nginx", (Exact("name", "nginx"),)),
        ("name=~Ngi", (Fuzzy("name", "Ngi"),)),
        ("name={a b  c}", (AnyOf("name", ("a", "b", "c")),)),
        ("labels=(1 2)", (AllOf("labels", (1, 2)),)),
        ("projectid=7", (Exact("project_id", 7),)),
        ("ProjectID=[1~5]", (Range("project_id", 1, 5),)),
        ("ProjectID=[~5]", (Range("project_id", None, 5),)),
        ("public=true,name=a", (Exact("public", True), Exact("name", "a"))),
        ("public=0", (Exact("public", False),)),
        (
            "creation_time=[2026-01-02T03:04:05~]",
            (Range("create_time", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None),),
        ),
        ('name="a,b=c"', (Exact("name", "a,b=c"),)),
        ('name={"a b" c}', (AnyOf("name", ("a b", "c")),)),
        ("name%3D~a%2Cpublic%3Dfalse", (Fuzzy("name", "a"), Exact("public", False))),
        ("tags=nil", (Exact("tags", None),)),
        ("name=nil", (Exact("name", "nil"),)),
        ("name=a=b", (Exact("name", "a=b"),)),
        # As in Harbor: a backslash before the first character, and quotes around the values of lists and ranges.
        (r"name=\~a", (Exact("name", "~a"),)),
        (r"name=\[a]", (Exact("name", "[a]"),)),
        (r"name=\\a", (Exact("name", r"\a"),)),
        (r"tags=\nil", (Exact("tags", "nil"),)),
        (r"name=a\b", (Exact("name", r"a\b"),)),
        ("name={'a' \"b\" c'}", (AnyOf("name", ("a", "b", "c")),)),
        ("ProjectID=['1'~\"5\"]", (Range("project_id", 1, 5),)),
        ("tags={nil a}", (AnyOf("tags", (None, "a")),)),
        # Names of columns and of fields in Go.
        (
            "project_id=7,CreationTime=[~2026-01-02]",
            (
                Exact("project_id", 7),
                Range("create_time", None, datetime(2026, 1, 2, tzinfo=UTC)),
            ),
        ),
    ],
)
def test_reads_every_form(text: str, clauses: tuple[object, ...]) -> None:
    assert parse_query(text, KEYS).clauses == clauses


@pytest.mark.parametrize(
    "text",
    [
        "colour=red",
        "name",
        "name=",
        "=a",
        "name=a,",
        "name=~",
        "name=[a~b]",
        "name=(a b)",
        "ProjectID=~1",
        "ProjectID=one",
        "ProjectID=99999999999999999999",
        "ProjectID=[1]",
        "ProjectID=[~]",
        "ProjectID=[1~2",
        "ProjectID={}",
        "public=perhaps",
        "creation_time=yesterday",
        "creation_time=[0001-01-01T00:00:00+01:00~]",
        "name=a\0b",
        "name=a%00b",
        'name="a',
        "name={" + "a " * 101 + "}",
        ",".join(["tags={" + "a " * 51 + "}"] * 2),
        ",".join(["name=a"] * 33),
        "name=" + "a" * 5000,
        r"ProjectID=\~1",
        "ProjectID={' '}",
        "name={a b",
        "name=(a b]",
    ],
)
def test_refuses_what_it_does_not_understand(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_query(text, KEYS)
    assert caught.value.reason == "BAD_REQUEST"
    assert caught.value.violations[0].field == "q"


def test_a_query_gives_one_exact_value_and_the_rest() -> None:
    query = parse_query("ProjectID=7,name=~a", KEYS)
    assert query.exact("project_id") == 7
    assert query.exact("name") is None
    assert query.without("project_id") == Query((Fuzzy("name", "a"),))


def test_reads_a_sort() -> None:
    keys = {"name": "name", "creation_time": "create_time"}
    assert parse_sort("", keys) == ()
    assert parse_sort("name,-creation_time", keys) == (Order("name"), Order("create_time", descending=True))
    assert parse_sort("-name", ["name"]) == (Order("name", descending=True),)
    assert parse_sort("-CreationTime,Name", keys) == (Order("create_time", descending=True), Order("name"))


@pytest.mark.parametrize("text", ["colour", "name,-name", "--name", "n" * 5000])
def test_refuses_a_sort_by_what_is_not_there(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_sort(text, ["name"])
    assert caught.value.violations[0].field == "sort"

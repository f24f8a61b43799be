import json
from typing import Any

import pytest

from gateway.transcode.decoding import Decoders, load
from gateway.transcode.encoding import Encoders
from gateway.transcode.fields import ContractError
from svckit.errors import Invalid
from tests.unit.gateway.transcode.sample import described, made


def read(document: Any, name: str = "Ship", skip: frozenset[str] = frozenset()) -> Any:
    message = made(name)
    Decoders().of_message(described(name))(load(json.dumps(document).encode()), message, "", skip)
    return message


def test_what_was_written_is_read_back_the_same() -> None:
    ship = made(
        "Ship",
        id=-(2**63),
        display_name="né",
        speed=1.5,
        seal=b"\x00\xff",
        hull=1,
        flags=["a"],
        labels={"k": "v"},
        afloat=False,
        berth=0,
        by_name={"x": made("Hold", size_bytes=1)},
        draught=2**32 - 1,
    )
    ship.holds.add(size_bytes=2**62)
    ship.create_time.FromJsonString("2026-01-01T00:00:00.250Z")
    ship.age.FromJsonString("3.25s")
    ship.extra.update({"a": [1, None, {"b": True}], "s": "x", "n": 1.25})
    ship.anything.struct_value.update({"z": 1})
    assert read(Encoders().of_message(ship.DESCRIPTOR)(ship)) == ship


def test_a_message_that_is_written_as_its_list_is_read_as_one_and_an_empty_list_is_told_from_none() -> None:
    fleet = made("Fleet", holds={"items": [{"size_bytes": 1}, {"size_bytes": 2}]})
    document = Encoders().of_message(fleet.DESCRIPTOR)(fleet)
    assert document == {"holds": [{"size": 1}, {"size": 2}]}
    assert read(document, "Fleet") == fleet
    empty = made("Fleet", holds={})
    assert Encoders().of_message(fleet.DESCRIPTOR)(empty) == {"holds": []}
    assert read({"holds": []}, "Fleet") == empty != read({}, "Fleet")
    for wrong, field in (({"items": []}, "holds"), ([1], "holds[0]"), ([{"size": "x"}], "holds[0].size")):
        with pytest.raises(Invalid) as refused:
            read({"holds": wrong}, "Fleet")
        assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize("compile_type", [Decoders().of_message, Encoders().of_message])
def test_only_a_message_of_one_list_can_be_written_as_it(compile_type: Any) -> None:
    with pytest.raises(ContractError, match="as_list"):
        compile_type(described("NoList"))


def test_the_contract_s_own_names_are_understood_where_the_json_name_is_not_given() -> None:
    assert read({"create_time": "2026-01-01T00:00:00Z"}).create_time.seconds == 1767225600
    both = read({"create_time": "2026-01-01T00:00:00Z", "creation_time": "1970-01-01T00:00:01Z"})
    assert both.create_time.seconds == 1


def test_unknown_fields_and_null_say_nothing() -> None:
    assert read({"cve_allowlist": {"x": [1]}, "id": None, "holds": None, "labels": {"a": None}}) == made("Ship")


def test_fields_that_the_path_fills_are_not_read_from_the_body() -> None:
    assert read({"id": 5, "display_name": "x"}, skip=frozenset({"id"})) == made("Ship", display_name="x")


@pytest.mark.parametrize(
    "document, field, told",
    [
        ({"id": "5"}, "id", "must be an integer"),
        ({"id": 5.0}, "id", "must be an integer"),
        ({"id": True}, "id", "must be an integer"),
        ({"id": 2**63}, "id", "must be between"),
        ({"draught": -1}, "draught", "must be between 0 and 4294967295"),
        ({"display_name": 5}, "display_name", "must be a string"),
        ({"afloat": "true"}, "afloat", "must be true or false"),
        ({"afloat": 1}, "afloat", "must be true or false"),
        ({"speed": "1"}, "speed", "must be a number"),
        ({"speed": True}, "speed", "must be a number"),
        ({"speed": 10**400}, "speed", "must be a finite number"),
        ({"seal": "*"}, "seal", "must be base64"),
        ({"hull": "slow"}, "hull", "must be one of unspecified, fast_cat"),
        ({"hull": 1}, "hull", "must be one of"),
        ({"flags": "a"}, "flags", "must be an array"),
        ({"flags": ["a", 1]}, "flags[1]", "must be a string"),
        ({"holds": {}}, "holds", "must be an array"),
        ({"holds": [{}, {"size": "x"}]}, "holds[1].size", "must be an integer"),
        ({"holds": [None]}, "holds[0]", "must be an object"),
        ({"labels": []}, "labels", "must be an object"),
        ({"labels": {"a": 1}}, "labels.a", "must be a string"),
        ({"by_name": {"a": 1}}, "by_name.a", "must be an object"),
        ({"creation_time": 5}, "creation_time", "must be a time"),
        ({"creation_time": "2026-13-01T00:00:00Z"}, "creation_time", "must be a time"),
        ({"age": "5"}, "age", "must be seconds"),
        ({"extra_attrs": []}, "extra_attrs", "must be an object"),
        ({"extra_attrs": {"a": 10**400}}, "extra_attrs", "must be a finite number"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_its_name(document: Any, field: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read(document)
    (violation,) = refusal.value.violations
    assert refusal.value.reason == "BAD_REQUEST"
    assert violation.field == field
    assert violation.description.startswith(told)


def test_a_number_beyond_the_largest_float_is_refused() -> None:
    message = made("Ship")
    with pytest.raises(Invalid):
        Decoders().of_message(described("Ship"))(load(b'{"speed": 1e999}'), message)


def test_free_form_json_may_not_nest_without_end() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(Invalid):
        read({"extra_attrs": deep})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'\xff{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5000 + b"}",
        b'{"id": 1, "id": 2}',
        b'{"id": "\\ud800"}',
        b'{"x": [' + b"[]," * 300_000 + b"0]}",
        b'{"x": [' + b"0," * 10_000 + b"0]}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        load(body)


@pytest.mark.parametrize("document", [[], "x", 5, None])
def test_a_body_that_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(Invalid):
        read(document)


@pytest.mark.parametrize("name", ["Loop", "Foreign"])
def test_types_that_no_request_may_hold_are_refused_when_they_are_compiled(name: str) -> None:
    with pytest.raises(ContractError):
        Decoders().of_message(described(name))

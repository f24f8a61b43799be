import json
import math
from typing import Any

import pytest

from gateway.transcode.encoding import Encoders, dump
from gateway.transcode.fields import ContractError
from roadstead.auth.v1 import project_pb2
from roadstead.meta.v1 import artifact_pb2
from tests.unit.gateway.transcode.sample import described, made


def written(message: Any) -> Any:
    return json.loads(dump(Encoders().of_message(message.DESCRIPTOR)(message)))


def test_fields_without_presence_are_always_written_and_the_others_only_when_set() -> None:
    assert written(made("Ship")) == {
        "id": 0,
        "display_name": "",
        "speed": 0,
        "seal": "",
        "hull": "unspecified",
        "holds": [],
        "by_name": {},
    }
    assert written(made("Ship", afloat=False))["afloat"] is False
    assert written(made("Ship", berth=0))["berth"] == 0
    assert "port" not in written(made("Ship", berth=0))


def test_fields_marked_omit_zero_are_left_out_while_they_are_zero() -> None:
    assert not {"draught", "note", "flags", "labels"} & written(made("Ship")).keys()
    ship = made("Ship", draught=7, note="n", flags=["a", "b"], labels={"z": "1", "a": "2"})
    assert {name: written(ship)[name] for name in ("draught", "note", "flags", "labels")} == {
        "draught": 7,
        "note": "n",
        "flags": ["a", "b"],
        "labels": {"a": "2", "z": "1"},
    }


def test_a_name_is_the_contract_s_unless_json_name_says_another() -> None:
    project = written(project_pb2.Project(id=3, repository_count=2))
    assert project["project_id"] == 3
    assert project["repo_count"] == 2
    assert "initial_storage_limit_bytes" in written(project_pb2.Project(initial_storage_limit_bytes=5))
    platform = written(artifact_pb2.Platform(os="linux", os_version="10", os_features=["x"]))
    assert platform == {"architecture": "", "os": "linux", "os.version": "10", "os.features": ["x"]}


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**63 - 1])
def test_integers_of_64_bits_are_numbers_to_the_last_digit(number: int) -> None:
    assert f'"id":{number},' in dump(Encoders().of_message(described("Ship"))(made("Ship", id=number))).decode()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        ("2026-08-09T23:59:59.987654321Z", "2026-08-09T23:59:59.987Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_milliseconds(text: str, expected: str) -> None:
    ship = made("Ship")
    ship.create_time.FromJsonString(text)
    assert written(ship)["creation_time"] == expected


def test_a_struct_is_natural_json_with_whole_numbers_whole() -> None:
    ship = made("Ship")
    ship.extra.update({"ten": 10.0, "half": 0.5, "no": None, "deep": {"list": [1, "two", True, {"x": -3.0}]}})
    body = dump(Encoders().of_message(ship.DESCRIPTOR)(ship)).decode()
    assert '"extra_attrs":{"deep":{"list":[1,"two",true,{"x":-3}]},"half":0.5,"no":null,"ten":10}' in body


def test_numbers_that_json_cannot_write_become_null() -> None:
    assert written(made("Ship", speed=math.inf))["speed"] is None
    assert written(made("Ship", speed=math.nan))["speed"] is None
    assert written(made("Ship", speed=1e300))["speed"] == 1e300


def test_enums_are_lower_case_words_without_the_prefix_of_their_type() -> None:
    assert written(made("Ship", hull=1))["hull"] == "fast_cat"
    # A newer service may send what this program does not know.
    assert written(made("Ship", hull=77))["hull"] == "77"


def test_bytes_durations_values_and_maps_of_messages() -> None:
    ship = made("Ship", seal=b"\x00\xff", by_name={"b": made("Hold", size_bytes=2), "a": made("Hold", size_bytes=1)})
    ship.age.FromJsonString("-1.500s")
    ship.anything.string_value = "text"
    ship.holds.add(size_bytes=9)
    document = written(ship)
    assert document["seal"] == "AP8="
    assert document["age"] == "-1.5s"
    assert document["anything"] == "text"
    assert document["holds"] == [{"size": 9}]
    assert list(document["by_name"].items()) == [("a", {"size": 1}), ("b", {"size": 2})]


def test_text_is_written_as_utf_8_and_control_characters_are_escaped() -> None:
    ship = made("Ship", display_name='né "x"\n\x00\u2028')
    body = dump(Encoders().of_message(ship.DESCRIPTOR)(ship))
    assert 'né \\"x\\"\\n\\u0000\u2028'.encode() in body


def test_a_type_may_hold_itself() -> None:
    loop = made("Loop")
    loop.inner.inner.SetInParent()
    assert written(loop) == {"inner": {"inner": {}}}


@pytest.mark.parametrize("name", ["Foreign", "Clash"])
def test_what_has_no_json_form_is_refused_when_it_is_compiled(name: str) -> None:
    with pytest.raises(ContractError):
        Encoders().of_message(described(name))

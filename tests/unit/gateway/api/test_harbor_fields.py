"""The fields and parameters of Harbor's description against ours, for every operation that is served.

`harbor_fields.toml` lists what we leave out, and why. A field that is served must leave that list.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.harness.harbor import description
from tests.unit.gateway.api.conftest import Api
from tests.unit.gateway.api.test_harbor_operations import operations

LEFT_OUT = tomllib.loads(Path(__file__).with_name("harbor_fields.toml").read_text())

Schema = Mapping[str, Any]


@pytest.fixture
async def ours(api: Api) -> Schema:
    answer = await api.http.get("/openapi.json")
    assert answer.status_code == 200, answer.text
    found: Schema = json.loads(answer.content)
    return found


def test_the_operations_are_those_of_harbor_s_description() -> None:
    described = {
        (method.upper(), path, operation["operationId"])
        for path, methods in description()["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }
    assert {(each.method, each.path, each.name) for each in operations()} == described


async def test_answers_have_the_fields_of_harbor(ours: Schema) -> None:
    missing: set[str] = set()
    for theirs, described in _served(ours):
        for status, answer in theirs["responses"].items():
            if status.startswith("2") and "schema" in answer:
                held = described["responses"].get(status, {}).get("content", {})
                missing |= set(_missing(answer["schema"], _first_schema(held), ours, theirs["operationId"]))
    _compare(missing, LEFT_OUT["answers"])


async def test_requests_have_the_fields_of_harbor(ours: Schema) -> None:
    missing: set[str] = set()
    for theirs, described in _served(ours):
        names = {parameter["name"] for parameter in described.get("parameters", ())}
        for parameter in map(_parameter, theirs.get("parameters", ())):
            if parameter["in"] in {"query", "header"} and parameter["name"] not in names:
                missing.add(f"{theirs['operationId']}?{parameter['name']}")
            if parameter["in"] == "body":
                held = described.get("requestBody", {}).get("content", {})
                missing |= set(_missing(parameter["schema"], _first_schema(held), ours, theirs["operationId"]))
    _compare(missing, LEFT_OUT["requests"])


async def test_a_parameter_that_harbor_requires_is_required_here(ours: Schema) -> None:
    required = {
        f"{theirs['operationId']}?{parameter['name']}": next(
            each["required"] for each in described["parameters"] if each["name"] == parameter["name"]
        )
        for theirs, described in _served(ours)
        for parameter in map(_parameter, theirs.get("parameters", ()))
        if parameter["in"] in {"query", "header"} and parameter.get("required")
    }
    assert len(required) >= 5
    assert [name for name, is_required in required.items() if not is_required] == []


def _compare(missing: set[str], left_out: Mapping[str, str]) -> None:
    """Fails unless what is missing is listed, and all that is listed is missing."""
    unlisted = [name for name in sorted(missing) if not any(fnmatchcase(name, pattern) for pattern in left_out)]
    served = [pattern for pattern in left_out if not any(fnmatchcase(name, pattern) for name in missing)]
    assert (unlisted, served) == ([], [])


def _served(ours: Schema) -> Iterator[tuple[Schema, Schema]]:
    """Each served operation, as Harbor and as we describe it."""
    by_id = {
        operation["operationId"]: operation for methods in ours["paths"].values() for operation in methods.values()
    }
    for each in operations():
        if each.served != "not yet":
            yield description()["paths"][each.path][each.method.lower()], by_id[each.name]


def _first_schema(content: Mapping[str, Mapping[str, Schema]]) -> Schema:
    return next((media["schema"] for media in content.values()), {})


def _parameter(held: Schema) -> Schema:
    if "$ref" in held:
        found: Schema = description()["parameters"][held["$ref"].rpartition("/")[2]]
        return found
    return held


def _missing(
    theirs: Schema, mine: Schema, ours: Schema, owner: str, seen: frozenset[tuple[str, str]] = frozenset()
) -> Iterator[str]:
    """The fields of a schema of Harbor's that ours lacks, as "Definition.field"."""
    key = (theirs.get("$ref", ""), mine.get("$ref", ""))
    if all(key):
        if key in seen:
            return
        seen |= {key}
    if reference := theirs.get("$ref"):
        owner = reference.rpartition("/")[2]
        theirs = description()["definitions"][owner]
    if reference := mine.get("$ref"):
        mine = ours["components"]["schemas"][reference.rpartition("/")[2]]
    if theirs.get("type") == "array" or "items" in theirs:
        yield from _missing(theirs["items"], mine.get("items", {}), ours, owner, seen)
        return
    held = mine.get("properties", {})
    for quoted, schema in theirs.get("properties", {}).items():
        name = quoted.strip("'")
        if name in held:
            yield from _missing(schema, held[name], ours, f"{owner}.{name}", seen)
        elif not mine.get("additionalProperties"):
            yield f"{owner}.{name}"

from collections.abc import Mapping
from typing import Any

import pytest
from google.api import http_pb2

from gateway.transcode.contracts import bindings_of
from gateway.transcode.fields import ContractError
from gateway.transcode.route import RpcRoute, compile_bindings
from roadstead.access.v1 import rest_pb2
from svckit.errors import Invalid, NotFound
from tests.unit.gateway.transcode.sample import made, rpc, text_of

SHIPS = "/api/v2.0/projects/{project.name}/ships"


def no_headers(_name: str) -> str | None:
    return None


def compiled(extras: rest_pb2.RestRule | None = None, **rule: Any) -> RpcRoute:
    (route,) = compile_bindings(bindings_of(rpc(http_pb2.HttpRule(**rule), extras)))
    return route


def bound(
    route: RpcRoute,
    variables: list[str],
    query: bytes = b"",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Any:
    return route.binder.bind(variables, query, (headers or {}).get, body)


def test_path_variables_fill_their_fields_and_no_other_input_can() -> None:
    route = compiled(post=f"{SHIPS}/{{id}}", body="*")
    body = b'{"project": {"name": "theirs", "id": 9}, "id": 5, "ship_name": "x"}'
    assert bound(route, ["mine", "7"], b"id=6&project.id=3", body) == made(
        "ShipRequest", project={"name": "mine"}, id=7, name="x"
    )


def test_a_query_cannot_speak_of_what_the_path_names() -> None:
    route = compiled(get=f"{SHIPS}/{{id}}")
    assert bound(route, ["mine", "7"], b"project.id=3&project.name=x&id=5") == made(
        "ShipRequest", project={"name": "mine"}, id=7
    )


def test_a_query_fills_fields_by_either_name_nested_ones_too_and_ignores_the_rest() -> None:
    route = compiled(get="/api/v2.0/ships")
    query = (
        b"ship_name=a+b%26c&flags=x&flags=y&since=2026-01-01T00:00:00Z&deep=true&hull=FAST_CAT"
        b"&project.name=p&ship.display_name=d&unknown=1&ship.holds=1&ship.labels=1"
    )
    expected = made("ShipRequest", name="a b&c", flags=["x", "y"], deep=True, hull=1, project={"name": "p"})
    expected.since.FromJsonString("2026-01-01T00:00:00Z")
    expected.ship.display_name = "d"
    assert bound(route, [], query) == expected
    assert bound(route, [], b"name=z").name == "z"


def test_the_last_of_a_repeated_parameter_counts_and_an_empty_one_says_nothing() -> None:
    route = compiled(get="/api/v2.0/ships")
    assert bound(route, [], b"ship_name=a&ship_name=b").name == "b"
    assert not bound(route, [], b"deep=&page=&hull=&since=").HasField("deep")
    assert bound(route, [], b"deep=0").HasField("deep")


@pytest.mark.parametrize(
    "query, field",
    [
        (b"page=x", "page"),
        (b"page=1.0", "page"),
        (b"page=1_0", "page"),
        (b"page=%D9%A1", "page"),
        (b"page=2147483648", "page"),
        (b"deep=yes", "deep"),
        (b"hull=slow", "hull"),
        (b"since=now", "since"),
        (b"ship.id=x", "ship.id"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused_by_its_name(query: bytes, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        bound(compiled(get="/api/v2.0/ships"), [], query)
    assert refusal.value.violations[0].field == field


@pytest.mark.parametrize("query", [b"ship_name=%ff", b"ship_name=\xff", b"a=1&" * 300])
def test_a_query_that_cannot_be_read_is_refused(query: bytes) -> None:
    with pytest.raises(Invalid):
        bound(compiled(get="/api/v2.0/ships"), [], query)


@pytest.mark.parametrize(
    "text, header, expected",
    [
        ("library", None, {"name": "library"}),
        ("12", None, {"id": 12}),
        ("12", "false", {"id": 12}),
        ("12", "true", {"name": "12"}),
        ("12", "True", {"name": "12"}),
        ("0x12", None, {"name": "0x12"}),
        ("-1", None, {"name": "-1"}),
        ("9223372036854775807", None, {"id": 2**63 - 1}),
        ("9223372036854775808", None, {"name": "9223372036854775808"}),
        ("١٢", None, {"name": "١٢"}),
    ],
)
def test_a_project_is_named_by_its_id_where_it_looks_like_one_unless_the_header_says_otherwise(
    text: str, header: str | None, expected: dict[str, Any]
) -> None:
    route = compiled(rest_pb2.RestRule(name_or_id="project"), get=SHIPS)
    headers = {} if header is None else {"X-Is-Resource-Name": header}
    assert bound(route, [text], headers=headers) == made("ShipRequest", project=expected)
    assert route.path == "/api/v2.0/projects/{project_name_or_id}/ships"


@pytest.mark.parametrize("text", ["search", "1.5", "9223372036854775808"])
def test_a_path_with_what_cannot_be_an_id_leads_nowhere(text: str) -> None:
    with pytest.raises(NotFound) as refusal:
        bound(compiled(get="/api/v2.0/ships/{id}"), [text])
    assert refusal.value.violations[0].field == "id"


def test_elsewhere_a_project_is_always_a_name() -> None:
    assert bound(compiled(get=SHIPS), ["12"]) == made("ShipRequest", project={"name": "12"})


def test_headers_fill_the_fields_that_the_contract_says() -> None:
    extras = rest_pb2.RestRule(headers=[rest_pb2.HeaderInput(header="X-Accept-Ships", field="accept")])
    route = compiled(extras, post="/api/v2.0/ships", body="*")
    request = bound(route, [], b"", b'{"accept": "body", "id": 1}', {"X-Accept-Ships": "header"})
    assert text_of(request) == 'accept: "header" id: 1'
    assert not bound(route, [], b"", b'{"accept": "body"}').accept


def test_what_a_whole_body_leaves_out_is_set_to_its_zero_value_where_the_contract_says_so() -> None:
    extras = rest_pb2.RestRule(replaced=["holds", "deep"])
    method = rpc(http_pb2.HttpRule(put="/api/v2.0/fleets", body="*"), extras, request="Fleet")
    (route,) = compile_bindings(bindings_of(method))
    assert bound(route, [], b"", b"{}") == made("Fleet", holds={}, deep=False)
    assert bound(route, [], b"", b'{"note": "n"}') == made("Fleet", holds={}, deep=False, note="n")
    said = made("Fleet", holds={"items": [{"size_bytes": 1}]}, deep=True)
    assert bound(route, [], b"", b'{"holds": [{"size": 1}], "deep": true}') == said


def test_a_body_may_be_one_field_and_then_the_query_fills_the_others() -> None:
    route = compiled(post="/api/v2.0/ships", body="ship")
    request = bound(route, [], b"ship_name=n&ship.id=9", b'{"id": 4, "display_name": "d"}')
    assert request == made("ShipRequest", name="n", ship={"id": 4, "display_name": "d"})


@pytest.mark.parametrize("page, size, expected", [(b"", b"", (1, 10)), (b"3", b"100", (3, 100)), (b"1", b"", (1, 10))])
def test_pages_are_harbor_s(page: bytes, size: bytes, expected: tuple[int, int]) -> None:
    route = compiled(get="/api/v2.0/ships", response_body="ships")
    query = b"&".join(
        part for part in (b"page=" + page if page else b"", b"page_size=" + size if size else b"") if part
    )
    request: Any = route.request([], query, no_headers, b"")
    assert (request.page, request.page_size) == expected


@pytest.mark.parametrize("query", [b"page=0", b"page=-1", b"page_size=0", b"page_size=101", b"page_size=-1"])
def test_pages_that_harbor_does_not_have_are_refused(query: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        compiled(get="/api/v2.0/ships", response_body="ships").request([], query, no_headers, b"")
    assert refusal.value.violations[0].field in query.decode()


def test_every_page_asks_for_the_total_and_no_client_can_leave_it_out() -> None:
    route = compiled(get="/api/v2.0/ships", response_body="ships")
    request: Any = route.request([], b"with_total=false", no_headers, b"")
    assert request.with_total
    assert "with_total" not in {parameter.name for parameter in route.binder.parameters}


def test_a_page_token_goes_before_a_page_number() -> None:
    request: Any = compiled(get="/api/v2.0/ships", response_body="ships").request(
        [], b"page=4&page_token=abc", no_headers, b""
    )
    assert (request.page, request.page_token) == (0, "abc")


@pytest.mark.parametrize(
    "rule, extras",
    [
        ({"get": "/api/v2.0/ships/{nothing}"}, {}),
        ({"get": "/api/v2.0/ships/{flags.x}"}, {}),
        ({"get": "/api/v2.0/ships/{ship}"}, {}),
        ({"get": "/elsewhere/ships"}, {}),
        ({"get": "/api/v2.0/ships:sail"}, {}),
        ({"post": "/api/v2.0/ships", "body": "nothing"}, {}),
        ({"get": "/api/v2.0/ships", "response_body": "nothing"}, {}),
        ({"get": "/api/v2.0/ships"}, {"name_or_id": "ship"}),
        ({"get": "/api/v2.0/ships"}, {"success_status": 404}),
        ({"get": "/api/v2.0/ships"}, {"location": "/api/v2.0/ships/{nothing}"}),
        ({"get": "/api/v2.0/ships"}, {"location": "/api/v2.0/ships/{ships}"}),
        ({"get": "/api/v2.0/ships"}, {"headers": [{"header": "X", "field": "nothing"}]}),
        ({"post": "/api/v2.0/ships", "body": "*"}, {"replaced": ["nothing"]}),
        ({"post": "/api/v2.0/ships", "body": "*"}, {"replaced": ["name"]}),
        ({}, {}),
    ],
)
def test_a_rule_that_cannot_be_served_is_refused_when_it_is_compiled(
    rule: dict[str, Any], extras: dict[str, Any]
) -> None:
    with pytest.raises(ContractError) as refusal:
        compiled(rest_pb2.RestRule(**extras), **rule)
    assert "ServeShips" in str(refusal.value)


def test_a_stream_is_refused_and_an_rpc_without_a_rule_is_no_route() -> None:
    with pytest.raises(ContractError):
        list(bindings_of(rpc(http_pb2.HttpRule(get="/api/v2.0/ships"), streams=True)))
    assert list(bindings_of(rpc())) == []


def test_additional_bindings_are_routes_of_their_own() -> None:
    rule = http_pb2.HttpRule(
        get="/api/v2.0/ships",
        response_body="ships",
        additional_bindings=[
            http_pb2.HttpRule(custom=http_pb2.CustomHttpPattern(kind="HEAD", path="/api/v2.0/fleet")),
            http_pb2.HttpRule(get=SHIPS, response_body="ships"),
        ],
    )
    found = list(bindings_of(rpc(rule)))
    assert [(binding.method, binding.is_primary) for binding in found] == [
        ("GET", True),
        ("HEAD", False),
        ("GET", False),
    ]
    assert bound(compile_bindings(found)[2], ["p"]) == made("ShipRequest", project={"name": "p"})


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_a_request_without_its_body_is_refused_unless_the_contract_says_otherwise(body: bytes) -> None:
    for rule in ({"put": "/api/v2.0/ships/{id}", "body": "*"}, {"put": "/api/v2.0/ships/{id}", "body": "ship"}):
        with pytest.raises(Invalid) as refused:
            bound(compiled(None, **rule), ["7"], body=body)
        assert refused.value.reason == "BODY_MISSING"
    may = rest_pb2.RestRule(optional_body=True)
    assert bound(compiled(may, put="/api/v2.0/ships/{id}", body="*"), ["7"], body=body) == made("ShipRequest", id=7)
    with pytest.raises(Invalid):
        bound(compiled(put="/api/v2.0/ships/{id}", body="ship"), ["7"], body=b"null")

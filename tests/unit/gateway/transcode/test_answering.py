import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.api import http_pb2, httpbody_pb2

from gateway.transcode.answering import write_raw
from gateway.transcode.contracts import bindings_of
from gateway.transcode.route import RpcRoute, compile_bindings
from gateway.wire.answer import Answer
from roadstead.access.v1 import rest_pb2
from tests.unit.gateway.transcode.sample import made, rpc

PATH = "/api/v2.0/ships"


def compiled(extras: rest_pb2.RestRule | None = None, **rule: Any) -> RpcRoute:
    (route,) = compile_bindings(bindings_of(rpc(http_pb2.HttpRule(**rule), extras)))
    return route


def answered(
    route: RpcRoute,
    response: Any,
    request: Any = None,
    query: bytes = b"",
    path: str = PATH,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    return route.answer(path, query, (headers or {}).get, made("ShipRequest") if request is None else request, response)


def document(answer: Answer) -> Any:
    assert dict(answer.headers)["Content-Type"] == "application/json"
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def test_an_answer_is_the_response_or_one_field_of_it() -> None:
    response = made("ShipResponse", ship={"id": 4}, word="w")
    assert document(answered(compiled(get=PATH), response))["word"] == "w"
    assert document(answered(compiled(get=PATH, response_body="ship"), response))["id"] == 4
    assert document(answered(compiled(get=PATH, response_body="word"), response)) == "w"


def test_a_list_is_a_bare_array_even_when_it_is_empty() -> None:
    route = compiled(get=PATH, response_body="ships")
    assert document(answered(route, made("ShipResponse"))) == []
    assert [ship["id"] for ship in document(answered(route, made("ShipResponse", ships=[{"id": 1}, {"id": 2}])))] == [
        1,
        2,
    ]


def paged(page: int, size: int, total: int, query: bytes = b"", token: str = "", at: str = "") -> dict[str, str]:
    route = compiled(get=PATH, response_body="ships")
    response = made("ShipResponse", total_size=total, next_page_token=token)
    request = made("ShipRequest", page=page, page_size=size, page_token=at)
    headers = dict(answered(route, response, request, query).headers)
    del headers["Content-Type"]
    return headers


def test_a_page_says_how_many_there_are_and_leads_to_its_neighbours() -> None:
    assert paged(1, 10, 0) == {"X-Total-Count": "0"}
    assert paged(1, 10, 10) == {"X-Total-Count": "10"}
    assert paged(1, 10, 11)["Link"] == f'<{PATH}?page=2&page_size=10>; rel="next"'
    assert paged(2, 10, 21)["Link"] == (
        f'<{PATH}?page=1&page_size=10>; rel="prev" , <{PATH}?page=3&page_size=10>; rel="next"'
    )
    assert paged(3, 10, 21)["Link"] == f'<{PATH}?page=2&page_size=10>; rel="prev"'
    assert "Link" not in paged(9, 10, 21)


def test_the_links_keep_what_else_was_asked_for() -> None:
    query = b"q=name%3D~a%26b%2Cx%3D%7B1+2%7D&page=1&sort=-name&page_size=5&empty="
    assert paged(1, 5, 9, query)["Link"] == (
        f'<{PATH}?q=name%3D~a%26b%2Cx%3D%7B1+2%7D&sort=-name&empty=&page=2&page_size=5>; rel="next"'
    )


def test_a_link_cannot_be_broken_out_of() -> None:
    link = paged(1, 5, 9, b"q=%3E%3B%20rel%3D%22next%22%0D%0AX%3A%201")["Link"]
    assert link.count(">") == 1
    assert "\r" not in link
    assert "\n" not in link


def test_a_page_token_leads_on_by_the_next_one() -> None:
    assert paged(0, 10, 99, b"page_token=a&page_size=10", token="b c", at="a") == {
        "X-Total-Count": "99",
        "Link": f'<{PATH}?page_token=b+c&page_size=10>; rel="next"',
        "X-Next-Page-Token": "b c",
    }
    assert "Link" not in paged(0, 10, 99, token="", at="a")


def test_a_create_says_where_the_new_one_is_and_has_no_body() -> None:
    extras = rest_pb2.RestRule(success_status=201, location=f"{PATH}/{{ship.id}}/{{ship_name}}", empty_body=True)
    answer = answered(
        compiled(extras, post=PATH, body="*"), made("ShipResponse", ship={"id": 4}), made("ShipRequest", name="a/b c")
    )
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers == [("Location", f"{PATH}/4/a%252Fb%20c")]


@pytest.mark.parametrize(
    ("said", "location"), [("true", "name"), ("True", "name"), ("false", "4"), ("perhaps", "4"), (None, "4")]
)
def test_a_header_decides_whether_the_location_holds_the_name(said: str | None, location: str) -> None:
    extras = rest_pb2.RestRule(
        location=f"{PATH}/{{ship.id}}", named_location=f"{PATH}/{{ship_name}}", empty_body=True, success_status=201
    )
    headers = {} if said is None else {"X-Resource-Name-In-Location": said}
    route = compiled(extras, post=PATH, body="*")
    answer = answered(route, made("ShipResponse", ship={"id": 4}), made("ShipRequest", name="name"), headers=headers)
    assert answer.headers == [("Location", f"{PATH}/{location}")]


@pytest.mark.parametrize(
    "said, sent",
    [
        ("text/csv; charset=utf-8", "text/csv; charset=utf-8"),
        ("", "application/octet-stream"),
        ("text/plain\r\nX: y", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
    ],
)
def test_a_service_may_answer_what_is_no_json(said: str, sent: str) -> None:
    assert write_raw(httpbody_pb2.HttpBody(content_type=said, data=b"1,2")) == (sent, b"1,2")

"""What tells one request from another, and what of it is kept."""

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from svckit.access.actor import Actor
from svckit.access.call import Call, serving
from svckit.access.principal import Principal
from svckit.idempotency import IdempotencyKey
from svckit.rpc.idempotency import idempotency_key

_CONTRACT = """
name: "keyed.proto" package: "keyed" syntax: "proto3"
message_type {
  name: "Credentials"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "password" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL options { debug_redact: true } }
}
message_type {
  name: "Request"
  field { name: "idempotency_key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "text" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "labels" number: 3 type: TYPE_MESSAGE type_name: ".keyed.Request.LabelsEntry" label: LABEL_REPEATED }
  field { name: "secret" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL options { debug_redact: true } }
  field { name: "one" number: 5 type: TYPE_MESSAGE type_name: ".keyed.Credentials" label: LABEL_OPTIONAL }
  field { name: "many" number: 6 type: TYPE_MESSAGE type_name: ".keyed.Credentials" label: LABEL_REPEATED }
  field { name: "by_name" number: 7 type: TYPE_MESSAGE type_name: ".keyed.Request.ByNameEntry" label: LABEL_REPEATED }
  nested_type {
    name: "LabelsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  }
  nested_type {
    name: "ByNameEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".keyed.Credentials" label: LABEL_OPTIONAL }
  }
}
"""


def _request_type() -> type[Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_CONTRACT, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("keyed.Request"))


Request = _request_type()
USER = Principal("user", "user:7", 7)


def _key(method: str = "/keyed.Service/Create", principal: Principal = USER, **fields: Any) -> IdempotencyKey:
    with serving(Call(method, principal=principal)):
        key = idempotency_key(Request(**{"idempotency_key": "k", **fields}))
    assert key is not None
    return key


def test_the_same_request_is_the_same_in_whatever_order_its_map_was_filled() -> None:
    assert _key(labels={"a": "1", "b": "2"}) == _key(labels={"b": "2", "a": "1"})


def test_caller_method_key_and_request_each_make_a_difference() -> None:
    keys = {
        _key(),
        _key(principal=Principal("user", "user:8", 8)),
        _key(method="/keyed.Service/Other"),
        _key(idempotency_key="other"),
        _key(text="x"),
        _key(labels={"x": ""}),
    }
    assert len(keys) == 6
    # The key is no part of the request: it says only which call this is.
    assert _key(idempotency_key="other").request_hash == _key().request_hash


def test_jobs_on_behalf_of_two_policies_are_two_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_policy(number: int) -> str:
        actor = Actor("service", name="jobsvc", on_behalf_of=Actor("policy", number))
        monkeypatch.setattr(Call, "actor", property(lambda _call: actor))
        return _key().subject

    assert of_policy(1) != of_policy(2)


@pytest.mark.parametrize(
    "secret",
    [
        lambda text: {"secret": text},
        lambda text: {"one": {"password": text}},
        lambda text: {"many": [{"name": "a"}, {"name": "b", "password": text}]},
        lambda text: {"by_name": {"a": {"password": text}}},
    ],
    ids=["on top", "in a message", "in a list", "in a map"],
)
def test_no_secret_goes_into_the_hash_but_that_there_is_one_does(secret: Any) -> None:
    key = _key(**secret("Correct-horse-1"))
    assert key.holds_secret
    assert key == _key(**secret("Battery-staple-2"))
    without = _key(**secret(""))
    assert not without.holds_secret
    assert without.request_hash != key.request_hash


def test_secrets_at_two_places_are_told_apart() -> None:
    first = _key(many=[{"name": "a", "password": "x"}, {"name": "a"}])
    second = _key(many=[{"name": "a"}, {"name": "a", "password": "x"}])
    assert first.request_hash != second.request_hash


def test_the_request_itself_stays_as_it_came() -> None:
    request = Request(idempotency_key="k", secret="s", one={"password": "p"})
    with serving(Call("/keyed.Service/Create", principal=USER)):
        idempotency_key(request)
    assert request == Request(idempotency_key="k", secret="s", one={"password": "p"})


def test_nothing_of_the_key_is_kept_in_clear() -> None:
    assert "a-telling-key" not in repr(_key(idempotency_key="a-telling-key"))


def test_a_request_without_a_key_has_none() -> None:
    with serving(Call("/keyed.Service/Create", principal=USER)):
        assert idempotency_key(Request(text="x")) is None

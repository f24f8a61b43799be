import asyncio
import json
from dataclasses import replace

import pytest
import structlog

from authsvc.domain.token import PasswordCredentials, create_registry_token, parse_scopes
from roadstead.auth.v1 import token_service_pb2 as pb
from roadstead.auth.v1 import user_service_pb2
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceStub
from svckit.access.call import Call, serving
from svckit.errors import Invalid, Unauthenticated
from svckit.keys import KeyPair
from svckit.tokens import Access, IdentityToken, RegistryToken
from tests.harness.authsvc import PASSWORD, AuthService, Caller, credentials


def claims(authsvc: AuthService, answer: pb.CreateRegistryTokenResponse) -> RegistryToken:
    return authsvc.keyring.verifier().verify(answer.token, RegistryToken)


async def granted(caller: Caller, *scopes: str) -> dict[str, set[str]]:
    answer = await caller.registry_token(*scopes)
    return {f"{entry.type}:{entry.name}": set(entry.actions) for entry in answer.access}


async def test_a_token_says_what_was_asked_for_and_is_allowed(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    project_id = await alice.make_project("team")
    await alice.add_member("team", bob, "guest")
    answer = await alice.registry_token("repository:team/a/b:pull,push", "repository:library/x:pull,push,delete")
    says = claims(authsvc, answer)
    assert (says.subject, says.name) == (f"user:{alice.id}", "alice")
    assert says.access == (
        Access("repository", "team/a/b", frozenset({"pull", "push"}), project_id),
        Access("repository", "library/x", frozenset({"pull"}), 1, is_public=True),
    )
    assert answer.expires_in_seconds == 1800
    assert says.expire_time - says.issued_time == 1800
    assert answer.issue_time.seconds == says.issued_time
    assert await granted(alice, "repository:team/a:push") == {"repository:team/a": {"push"}}
    assert await granted(alice, "repository:team/a:*") == {"repository:team/a": {"pull", "push", "delete"}}
    assert await granted(bob, "repository:team/a:pull,push,delete") == {"repository:team/a": {"pull"}}
    assert await granted(bob, "repository:team/a:push") == {}
    assert await granted(authsvc.admin, "repository:team/a:push,delete") == {"repository:team/a": {"push", "delete"}}


@pytest.mark.parametrize(
    "role, actions",
    [
        ("projectAdmin", {"pull", "push", "delete"}),
        ("maintainer", {"pull", "push", "delete"}),
        ("developer", {"pull", "push"}),
        ("guest", {"pull"}),
        ("limitedGuest", {"pull"}),
    ],
)
async def test_each_role_gets_its_actions(authsvc: AuthService, role: str, actions: set[str]) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    await alice.add_member("team", bob, role)
    assert await granted(bob, "repository:team/a:*") == {"repository:team/a": actions}


async def test_with_the_grant_held_a_token_allows_all_that_is_held_on_what_was_asked_for_and_nothing_else(
    authsvc: AuthService,
) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    await alice.add_member("team", bob, "guest")
    generous = replace(authsvc.ports, rules=replace(authsvc.ports.rules, token_grant="held"))

    async def held(name: str | None, *scopes: str) -> dict[str, set[str]]:
        who = None if name is None else PasswordCredentials(name, PASSWORD)
        signed = await create_registry_token(generous, who, None, parse_scopes(scopes), "")
        says = authsvc.keyring.verifier().verify(signed.text, RegistryToken)
        return {entry.name: set(entry.actions) for entry in says.access}

    assert await held("alice", "repository:team/a:pull") == {"team/a": {"pull", "push", "delete"}}
    assert await held("alice", "repository:team/a:pull", "repository:library/x:pull") == {
        "team/a": {"pull", "push", "delete"},
        "library/x": {"pull"},
    }
    assert await held("bob", "repository:team/a:push,delete") == {"team/a": {"pull"}}
    assert await held("bob", "registry:catalog:*") == {}
    assert await held("alice") == {}
    assert await held(None, "repository:team/a:pull", "repository:library/x:push") == {"library/x": {"pull"}}


async def test_what_does_not_exist_or_may_not_be_seen_is_just_not_granted(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("secret")
    for scope in (
        "repository:secret/a:pull",
        "repository:nothing/a:pull",
        "repository:library:pull",
        "repository:library/UPPER:pull",
        "repository:library//a:pull",
        "repository:library/../secret/a:pull",
        "repository:library/a:",
        "repository:library/a:fly",
        "repository",
        ":::",
        "repository:a",
        "registry:catalog:*",
        "artifact:library/a:pull",
    ):
        answer = await bob.registry_token(scope)
        assert not answer.access, scope
        assert claims(authsvc, answer).access == ()


async def test_anonymous_callers_pull_from_public_projects(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    answer = await authsvc.anonymous.registry_token("repository:library/a:pull,push", "repository:team/a:pull")
    says = claims(authsvc, answer)
    assert says.subject == "anonymous"
    assert says.access == (Access("repository", "library/a", frozenset({"pull"}), 1, is_public=True),)
    assert not (await authsvc.anonymous.registry_token()).access


async def test_scopes_come_twice_together_with_a_class_and_with_colons(authsvc: AuthService) -> None:
    admin = authsvc.admin
    assert await granted(admin, "repository:library/a:pull", "repository:library/a:push") == {
        "repository:library/a": {"pull", "push"}
    }
    assert await granted(admin, "repository:library/a:pull repository(plugin):library/b:push") == {
        "repository:library/a": {"pull"},
        "repository:library/b": {"push"},
    }
    assert await granted(admin, "repository:host:5000/library/a:pull", "repository:library/a:pull") == {
        "repository:library/a": {"pull"}
    }
    assert await granted(admin, "registry:catalog:*") == {"registry:catalog": {"*"}}


async def test_too_many_scopes_are_refused_and_many_cost_one_token(authsvc: AuthService) -> None:
    many = [f"repository:library/r{number}:pull" for number in range(100)]
    assert len(await granted(authsvc.anonymous, *many)) == 100
    with pytest.raises(Invalid):
        await granted(authsvc.anonymous, *many, "repository:library/one:pull")
    with pytest.raises(Invalid):
        await granted(authsvc.anonymous, *(f"repository:library/{'r' * 230}{number}:pull" for number in range(100)))


async def test_a_robot_gets_what_it_was_given_where_it_was_given(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    await authsvc.admin.make_project("other")
    created = await authsvc.admin.make_robot("team", "ci", "repository:push", "repository:pull")
    machine = await authsvc.log_in(created.name, created.secret)
    answer = await machine.registry_token(
        "repository:team/a:pull,push,delete", "repository:other/a:pull", "repository:library/a:pull,push"
    )
    says = claims(authsvc, answer)
    assert says.subject == f"robot:{created.id}"
    assert {entry.name: set(entry.actions) for entry in says.access} == {
        "team/a": {"pull", "push"},
        "library/a": {"pull"},
    }


async def test_credentials_go_before_the_token_and_wrong_ones_are_refused(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")

    def request(username: str, secret: str, service: str = "harbor-registry") -> pb.CreateRegistryTokenRequest:
        return pb.CreateRegistryTokenRequest(credentials=credentials(username, secret), service=service)

    answer = await authsvc.admin.tokens.CreateRegistryToken(request("alice", PASSWORD))
    assert claims(authsvc, answer).subject == f"user:{alice.id}"
    messages = set()
    for username, secret in (("alice", "wrong"), ("nobody", PASSWORD), ("", ""), ("alice", ""), ("a\0b", "x")):
        with pytest.raises(Unauthenticated) as caught:
            await authsvc.anonymous.tokens.CreateRegistryToken(request(username, secret))
        messages.add(caught.value.message)
    assert len(messages) == 1
    with pytest.raises(Invalid):
        await authsvc.anonymous.tokens.CreateRegistryToken(request("alice", PASSWORD, "docker.io"))


async def test_failures_are_counted_by_the_address_of_the_client_and_not_of_the_gateway(authsvc: AuthService) -> None:
    request = pb.CreateRegistryTokenRequest(credentials=credentials("alice", "wrong"))
    with structlog.testing.capture_logs() as log:
        async with authsvc.service_channel("gateway") as channel:
            with serving(Call("GET /v2/", client_address="203.0.113.9")), pytest.raises(Unauthenticated):
                await TokenServiceStub(channel).CreateRegistryToken(request)
    assert [line["address"] for line in log if line["event"] == "login_failed"] == ["203.0.113.9"]


async def test_an_identity_token_says_who_calls(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    says = authsvc.keyring.verifier().verify(alice.token, IdentityToken)
    assert (says.subject, says.kind, says.id, says.name, says.is_admin) == (
        f"user:{alice.id}",
        "user",
        alice.id,
        "alice",
        False,
    )
    assert says.expire_time - says.issued_time == 300
    assert authsvc.keyring.verifier().verify(authsvc.admin.token, IdentityToken).is_admin
    with pytest.raises(Unauthenticated):
        await authsvc.anonymous.tokens.CreateIdentityToken(pb.CreateIdentityTokenRequest())


async def test_a_registry_token_is_no_identity(authsvc: AuthService) -> None:
    answer = await authsvc.admin.registry_token("repository:library/a:pull,push")
    narrowed = Caller(authsvc, answer.token)
    for call in (
        narrowed.users.GetCurrentUser(user_service_pb2.GetCurrentUserRequest()),
        narrowed.users.ListUsers(user_service_pb2.ListUsersRequest()),
        narrowed.make_project("team"),
    ):
        with pytest.raises(Unauthenticated):
            await call
    again = await narrowed.registry_token("repository:library/a:push")
    assert claims(authsvc, again).subject == "anonymous"
    assert not again.access


async def test_a_forged_token_is_refused_and_where_anybody_may_call_ignored(authsvc: AuthService) -> None:
    says = IdentityToken(subject="user:1", kind="user", id=1, name="admin", is_admin=True)
    forged = Caller(authsvc, authsvc.keyring.stranger("authsvc").sign(says).text)
    with pytest.raises(Unauthenticated):
        await forged.users.ListUsers(user_service_pb2.ListUsersRequest())
    assert claims(authsvc, await forged.registry_token("registry:catalog:*")).subject == "anonymous"


async def test_public_keys_of_all_services_are_listed(authsvc: AuthService) -> None:
    own, keypair = authsvc.keyring.keypairs["authsvc"], KeyPair.generate()
    authsvc.keyring.trust.publish("blobsvc", keypair)
    answer = await authsvc.anonymous.tokens.ListPublicKeys(pb.ListPublicKeysRequest())
    keys = {key.kid: key for key in answer.keys}
    assert keys[keypair.kid].service == "blobsvc"
    assert json.loads(keys[own.kid].jwk_json) == own.to_jwk()
    assert '"d"' not in keys[keypair.kid].jwk_json


async def test_a_deleted_and_recreated_project_is_another_one(authsvc: AuthService) -> None:
    project_id = await authsvc.admin.make_project("team")
    before = claims(authsvc, await authsvc.admin.registry_token("repository:team/a:pull"))
    async with authsvc.store.write() as unit:
        await unit.projects.remove(project_id)
        await unit.commit()
    assert not (await authsvc.admin.registry_token("repository:team/a:pull")).access
    await authsvc.admin.make_project("team")
    after = claims(authsvc, await authsvc.admin.registry_token("repository:team/a:pull"))
    assert before.access[0].project_id != after.access[0].project_id


async def test_log_ins_and_tokens_are_counted(authsvc: AuthService) -> None:
    def count(name: str, **labels: str) -> float:
        return authsvc.metrics.registry.get_sample_value(name, labels) or 0.0

    ok, failed = count("authsvc_logins_total", result="ok"), count("authsvc_logins_total", result="failed")
    registry = count("authsvc_tokens_issued_total", kind="registry")
    await authsvc.user("alice")
    with pytest.raises(Unauthenticated):
        await authsvc.log_in("alice", "wrong")
    await asyncio.gather(*(authsvc.anonymous.registry_token() for _ in range(3)))
    assert count("authsvc_logins_total", result="ok") == ok + 1
    assert count("authsvc_logins_total", result="failed") == failed + 1
    assert count("authsvc_tokens_issued_total", kind="registry") == registry + 3

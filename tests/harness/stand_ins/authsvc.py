"""The RPCs of authsvc that the gateway calls for /v2 and the token routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from roadstead.auth.v1 import refresh_token_service_pb2 as refresh_pb
from roadstead.auth.v1 import token_service_pb2 as token_pb
from svckit.access.call import Call, current_call
from svckit.errors import DomainError, Unauthenticated
from svckit.tokens import Access, RegistryToken
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.serving import StandIn

PROJECT_ID = 7
"""Of every project."""
REFRESH_TOKEN = "rsr_of-alice"
"""The refresh token of alice, which docker may use."""


@dataclass
class Authsvc(StandIn):
    """Knows alice, and what she may do.

    Attributes:
        keyring: signs registry tokens.
        allowed: by repository, what alice may do there.
        public: what anybody may pull.
        asked: the requests that came; `calls` how they came.
        failure: the answer to every request for a registry token.
        asked_refresh: the requests for refresh tokens; `refresh_failure` is the answer to them.
    """

    keyring: Keyring
    allowed: dict[str, frozenset[str]] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    asked: list[token_pb.CreateRegistryTokenRequest] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    failure: DomainError | None = None
    asked_refresh: list[refresh_pb.CreateRefreshTokenRequest] = field(default_factory=list)
    refresh_failure: DomainError | None = None

    async def CreateRegistryToken(
        self, request: token_pb.CreateRegistryTokenRequest, context: object
    ) -> token_pb.CreateRegistryTokenResponse:
        self.asked.append(request)
        self.calls.append(current_call())
        if self.failure is not None:
            raise self.failure
        subject = "anonymous"
        if request.HasField("refresh_token"):
            presented = request.refresh_token
            if (presented.token_secret, presented.client_id) != (REFRESH_TOKEN, "docker"):
                raise Unauthenticated("UNAUTHORIZED", "the refresh token is not valid; log in again")
            subject = "user:7"
        elif request.HasField("credentials"):
            password = request.credentials.password
            if (password.username, password.secret) != ("alice", "open sesame"):
                raise Unauthenticated("UNAUTHORIZED", "wrong name or password")
            subject = "user:7"
        access = tuple(self._granted(subject, request.scopes))
        token = self.keyring.sign("authsvc", RegistryToken(subject=subject, access=access))
        answer = token_pb.CreateRegistryTokenResponse(token=token, expires_in_seconds=1800)
        answer.issue_time.FromSeconds(1_700_000_000)
        for each in access:
            answer.access.add(type=each.type, name=each.name, actions=sorted(each.actions))
        return answer

    async def CreateRefreshToken(
        self, request: refresh_pb.CreateRefreshTokenRequest, context: object
    ) -> refresh_pb.CreateRefreshTokenResponse:
        self.asked_refresh.append(request)
        if self.refresh_failure is not None:
            raise self.refresh_failure
        return refresh_pb.CreateRefreshTokenResponse(token_secret=REFRESH_TOKEN)

    def _granted(self, subject: str, scopes: Any) -> Iterator[Access]:
        for scope in scopes:
            kind, name, actions = scope.split(":")
            may = self.allowed.get(name, frozenset()) if subject != "anonymous" else frozenset()
            if name in self.public:
                may |= {"pull"}
            given = may & frozenset(actions.split(","))
            if kind == "registry" and subject != "anonymous":
                yield Access("registry", name, frozenset({"*"}))
            elif given:
                yield Access("repository", name, given, PROJECT_ID)

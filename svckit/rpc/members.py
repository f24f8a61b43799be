"""Batches: one RPC that carries the calls of many callers (rules of the kind `each`).

A member is judged, bounded and answered as if it had come alone. Nothing that concerns one member alone may hold up or
fail the others: a refusal is the answer to that member, and a member that needs more than the one query of its batch is
told to come alone.

A servicer's method for such an RPC says how to read a member, how to work on all of them at once, and how to write an
answer:

    answers = await current_batch().answer(self._wanted, self._resolve, self._answer)
    return pb.ResolveManifestsResponse(answers=answers)
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from svckit.access.gate import Gate
from svckit.alone import ComeAlone
from svckit.bounds import request_check
from svckit.errors import DomainError, error_for
from svckit.errors.status import to_status
from svckit.logging import get_logger
from svckit.rpc.account import logging_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from google.protobuf.message import Message

    from svckit.access.call import Call
    from svckit.access.rules import EachRule
    from svckit.rpc.account import Account
    from svckit.rpc.arrival import Arrivals
    from svckit.tokens.verifier import TokenVerifier


Wanted = TypeVar("Wanted")
Found = TypeVar("Found")
Answer = TypeVar("Answer")

_log = get_logger(__name__)


class Member:
    """One call of a batch.

    Attributes:
        call: the call; its principal is the caller of this member.
        request: the member's message.
        refusal: why it gets no answer of the domain; None while it may get one.
    """

    __slots__ = ("call", "refusal", "request")

    def __init__(self, call: Call, request: Any) -> None:
        """Takes the call and the message."""
        self.call = call
        self.request = request
        self.refusal: DomainError | ComeAlone | None = None

    @property
    def code(self) -> str:
        """The gRPC code with which a call of its own would have ended; OK if it is told to come alone."""
        return self.refusal.entry.grpc_code if isinstance(self.refusal, DomainError) else "OK"

    def refuse(self, error: Exception) -> None:
        """Ends this member with an error, and no other one."""
        if isinstance(error, DomainError | ComeAlone):
            self.refusal = error
            return
        with logging_for(self.call):
            _log.error("rpc_failed", method=self.call.method, subject=self.call.principal.subject, exc_info=error)
        self.refusal = error_for("INTERNAL")


class Batch:
    """The members of one RPC, in the order of the request."""

    __slots__ = ("_answer", "_service", "members")

    def __init__(self, members: Sequence[Member], answer: type[Message], service: str) -> None:
        """Takes the members, the type of an answer, and the service that answers."""
        self.members = members
        self._answer: Any = answer
        self._service = service

    async def answer(
        self,
        parse: Callable[[Call, Any], Wanted],
        work: Callable[[Sequence[Wanted]], Awaitable[Sequence[Found | DomainError | ComeAlone]]],
        convert: Callable[[Call, Wanted, Found], Answer],
    ) -> list[Answer]:
        """Answers every member, in the order of the request.

        Args:
            parse: reads a member. A DomainError refuses this member.
            work: answers all parsed members together, in their order. An error that it raises fails the whole batch.
            convert: writes the answer to one member.
        """
        wanted = list(self._parsed(parse))
        # No query at all for a batch whose members are all refused.
        outcomes = await work([each for _, each in wanted]) if wanted else ()
        answers: dict[Member, Answer] = {}
        for (member, each), outcome in zip(wanted, outcomes, strict=True):
            try:
                answers[member] = convert(member.call, each, _awaited(member.call, outcome))
            except Exception as error:
                member.refuse(error)
        return [answers[member] if member.refusal is None else self._refusal(member.refusal) for member in self.members]

    def _parsed(self, parse: Callable[[Call, Any], Wanted]) -> Iterator[tuple[Member, Wanted]]:
        for member in self.members:
            if member.refusal is not None:
                continue
            try:
                yield member, parse(member.call, member.request)
            except Exception as error:
                member.refuse(error)

    def _refusal(self, refusal: DomainError | ComeAlone) -> Any:
        if isinstance(refusal, ComeAlone):
            return self._answer(come_alone=refusal.because.value)
        return self._answer(error=to_status(refusal, self._service))


_current: ContextVar[Batch] = ContextVar("roadstead_batch")


def current_batch() -> Batch:
    """The batch that this task serves.

    Raises:
        LookupError: the current call is no batch.
    """
    return _current.get()


class Members:
    """Admits the members of the batches of one method. It is built once for each method."""

    __slots__ = ("_arrivals", "_check", "_gate", "_name", "_rule", "_service")

    def __init__(
        self,
        name: str,
        rule: EachRule,
        verifier: TokenVerifier,
        arrivals: Arrivals,
        service: str,
    ) -> None:
        """Prepares a method.

        Args:
            name: "/roadstead.meta.v1.ManifestService/ResolveManifests".
            rule: its rule.
            verifier: verifies tokens.
            arrivals: makes the calls of members.
            service: the service that serves it.
        """
        self._name = name
        self._rule = rule
        self._gate = Gate(rule.member, verifier)
        self._check = request_check(rule.member_type)
        self._arrivals = arrivals
        self._service = service

    async def admit(self, call: Call, request: Message) -> None:
        """Judges every member of an admitted batch, and makes it the current batch of this task."""
        members = [Member(self._call_of(call, each), each) for each in getattr(request, self._rule.members)]
        for member in members:
            try:
                await self._judge(member)
            except Exception as error:
                member.refuse(error)
        _current.set(Batch(members, self._rule.answer, self._service))

    def _call_of(self, batch: Call, request: Any) -> Call:
        return self._arrivals.receive_member(self._name, self._gate, batch, request.call)

    async def _judge(self, member: Member) -> None:
        """The same steps as for a call of its own, in the same order. Nothing here waits."""
        call, request = member.call, member.request
        self._arrivals.authenticate_member(call, request.call.token)
        await self._gate.admit(call, request)
        if self._check is not None:
            self._check(request, request.ByteSize())


def account_members(code: str, seconds: float, account: Account) -> bool:
    """Counts and logs each member of the current batch for itself. Returns False if there is no batch.

    Args:
        code: the code with which the whole RPC ended. If it is not OK, it is the code of every member.
        seconds: how long the RPC took.
        account: counts and logs them.
    """
    batch = _current.get(None)
    if batch is None:
        return False
    account.note_members([(each.call, each.code if code == "OK" else code) for each in batch.members], seconds)
    return True


def _awaited(call: Call, outcome: Found | DomainError | ComeAlone) -> Found:
    """The outcome of the domain's work for a caller who still waits."""
    if isinstance(outcome, DomainError | ComeAlone):
        raise outcome
    if call.deadline is not None and call.deadline <= time.monotonic():
        # Nobody gets it, so nothing is signed or counted as a pull.
        raise error_for("UNAVAILABLE", "the caller waits no longer")
    return outcome

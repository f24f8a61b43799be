"""On whose behalf this service acts, where it acts for itself.

async with open_channel(target, acting_tokens=ActingTokenSource(signer, "metasvc")) as channel:
with acting_for(Actor("execution", 12)):
await ArtifactServiceStub(channel).DeleteArtifact(request)
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from svckit.access.call import current_call_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svckit.actor import Actor

_named: ContextVar[Actor | None] = ContextVar("roadstead_acting_for", default=None)


@contextmanager
def acting_for(actor: Actor) -> Iterator[None]:
    """Says for whom the calls inside the block are that go out on channels which act for this service.

    Args:
        actor: a user, robot, policy or execution. It is recorded, and adds no right.
    """
    token = _named.set(actor)
    try:
        yield
    finally:
        _named.reset(token)


def on_behalf_of() -> Actor | None:
    """For whom this service acts now: whom `acting_for` names, else the actor of the current call; None for nobody."""
    named = _named.get()
    if named is not None:
        return named
    call = current_call_or_none()
    # An anonymous actor tells no more than none.
    return None if call is None or call.principal.kind == "anonymous" else call.actor

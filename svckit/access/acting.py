"""Says on whose behalf this service acts, when it acts for itself.

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
    """Sets on whose behalf this service acts inside the block. Only channels with acting tokens use it.

    Args:
        actor: a user, robot, policy or execution. It is only recorded, and adds no right.
    """
    token = _named.set(actor)
    try:
        yield
    finally:
        _named.reset(token)


def on_behalf_of() -> Actor | None:
    """On whose behalf this service acts now: the actor of `acting_for`, else of the current call; None for nobody."""
    named = _named.get()
    if named is not None:
        return named
    call = current_call_or_none()
    # Nothing is recorded for an anonymous actor, because it adds no information.
    return None if call is None or call.principal.kind == "anonymous" else call.actor

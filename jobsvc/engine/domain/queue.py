"""The queues of tasks, one for each kind, and that of all schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.engine.domain.kind import SCHEDULER
from jobsvc.engine.domain.stop import stop_pending
from svckit.errors import Invalid

if TYPE_CHECKING:
    from jobsvc.engine.domain.model import QueueState
    from jobsvc.engine.domain.ports import EnginePorts

ALL_QUEUES = "ALL"
"""Harbor's name for all queues, in capitals."""

_ACTIONS = ("stop", "pause", "resume")


async def list_queues(ports: EnginePorts) -> list[QueueState]:
    """What is in all queues, by kind."""
    async with ports.store.read() as unit:
        return await unit.queues.states()


async def act_on_queue(ports: EnginePorts, job_type: str, action: str) -> int:
    """Stops what waits in a queue, or pauses or resumes it.

    Args:
        ports: the ports of the engine.
        job_type: the kind in upper or lower case, SCHEDULER, or "all".
        action: "stop", "pause" or "resume".

    Returns:
        How many tasks were stopped.

    Raises:
        DomainError: BAD_REQUEST for another action, with Harbor's text, or for an unknown kind.
    """
    if action not in _ACTIONS:
        raise Invalid(message="the action is not supported")
    name = job_type.upper()
    if name == ALL_QUEUES:
        names = {*ports.kinds.names, SCHEDULER}
    else:
        names = {SCHEDULER if name == SCHEDULER else ports.kinds.named(name, "job_type").name}
    if action == "stop":
        return sum([await stop_pending(ports, each) for each in sorted(names - {SCHEDULER})])

    async def work() -> None:
        async with ports.store.write() as unit:
            await unit.queues.set_paused(names, ports.clock(), paused=action == "pause")
            await unit.commit()

    await ports.store.repeat(work)
    if action == "resume":
        await ports.announce(names - {SCHEDULER})
    return 0

"""Reads and changes the runtime configuration for a caller."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind
from authsvc.domain.configuration import refresh
from svckit.change import Change
from svckit.errors import Conflict, Denied
from svckit.etag import check_etag
from svckit.logging import get_logger

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.configuration import ConfigurationChange, ConfigurationState, Value
    from authsvc.domain.model import Requester

_log = get_logger(__name__)

_RESOURCE = "configuration"
# There is one configuration. Consumers of the change log want an id.
_RESOURCE_ID = 1


async def get_configuration(ports: Ports) -> ConfigurationState:
    """Reads the configuration from the database, so that a change at another replica is seen at once."""
    return await refresh(ports.store, ports.configuration)


async def update_configuration(ports: Ports, requester: Requester, change: ConfigurationChange) -> ConfigurationState:
    """Writes values, all or none. The interceptor has already checked the caller's access.

    Raises:
        DomainError: FORBIDDEN, the settings fix one of them; CONFLICT, a user name begins with the new prefix of robot
            names; PRECONDITION, another change came first.
    """
    configuration = ports.configuration
    if fixed := sorted(change.values.keys() & configuration.state.fixed):
        raise Denied(message=f"the settings of this installation fix {', '.join(fixed)}, so it cannot be updated")

    async def work() -> ConfigurationState:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            await unit.configuration.lock()
            stored = await unit.configuration.read()
            before = configuration.combine(stored)
            after = configuration.combine({**stored, **change.values})
            if after == before:
                # Before the etag is checked: a caller that repeats a finished update still sends the old etag.
                return before
            check_etag(change.etag, before)
            prefix = after.values.robot_name_prefix
            if prefix != before.values.robot_name_prefix and await unit.users.name_that_begins_with(prefix):
                raise Conflict(message=f"the name of a user begins with {prefix}, so robot names cannot")
            old, new = _differences(before, after)
            await unit.configuration.write({name: change.values[name] for name in new}, now)
            unit.record(
                Change(
                    kind=ChangeKind.CONFIGURATION_CHANGED,
                    origin=requester.origin,
                    time=now,
                    resource_id=_RESOURCE_ID,
                    resource_name=_RESOURCE,
                    old=old,
                    new=new,
                )
            )
            await unit.commit()
        _log.info("configuration_changed", keys=sorted(new), actor=str(requester.origin.actor))
        return after

    configuration.state = await ports.store.repeat(work)
    return configuration.state


def _differences(before: ConfigurationState, after: ConfigurationState) -> tuple[dict[str, Value], dict[str, Value]]:
    old, new = asdict(before.values), asdict(after.values)
    changed = [name for name in new if old[name] != new[name]]
    return {name: old[name] for name in changed}, {name: new[name] for name in changed}

"""Reads and sets the system's list of accepted vulnerabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, allowlist_fields
from authsvc.domain.cve_allowlist import SYSTEM
from svckit.change import Change
from svckit.logging import get_logger

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.cve_allowlist import CveAllowlist
    from authsvc.domain.model import Identity, Requester

_log = get_logger(__name__)

# There is one such list. Consumers of the change log want an id and a name.
_RESOURCE = "CVEAllowlist"
_RESOURCE_ID = 1


async def get_system_allowlist(ports: Ports, identity: Identity) -> CveAllowlist:
    """Reads the list, for any user or robot.

    Raises:
        DomainError: UNAUTHORIZED; the caller is disabled, expired or gone.
    """
    async with ports.store.read() as unit:
        await identify(unit, identity, ports.clock())
        return await unit.cve_allowlists.get(SYSTEM)


async def update_system_allowlist(ports: Ports, requester: Requester, wanted: CveAllowlist) -> CveAllowlist:
    """Sets the list as a whole. The interceptor has already checked the caller's access."""

    async def work() -> CveAllowlist:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            await unit.cve_allowlists.lock_system()
            before = await unit.cve_allowlists.get(SYSTEM)
            after = wanted.dated(before, now)
            if after == before:
                return before
            await unit.cve_allowlists.put(SYSTEM, after)
            unit.record(
                Change(
                    kind=ChangeKind.SYSTEM_CVE_ALLOWLIST_CHANGED,
                    origin=requester.origin,
                    time=now,
                    resource_id=_RESOURCE_ID,
                    resource_name=_RESOURCE,
                    old=allowlist_fields(before),
                    new=allowlist_fields(after),
                )
            )
            await unit.commit()
        _log.info("system_cve_allowlist_changed", items=len(after.cve_ids), actor=str(requester.origin.actor))
        return after

    return await ports.store.repeat(work)

"""Lists of accepted vulnerabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select

from authsvc.domain.cve_allowlist import NOTHING, CveAllowlist
from authsvc.store.tables import cve_allowlist
from svckit.sql.statements import advisory_xact_lock, batches, upsert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

_OF_PROJECTS = select(cve_allowlist).where(cve_allowlist.c.project_id.in_(bindparam("project_ids", expanding=True)))


class SqlCveAllowlists:
    """See `domain.rows.CveAllowlistRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, project_id: int) -> CveAllowlist:
        """See the port."""
        return (await self.of_projects([project_id])).get(project_id, NOTHING)

    async def of_projects(self, project_ids: Sequence[int]) -> Mapping[int, CveAllowlist]:
        """The lists of projects, by project. Those that were never set are left out."""
        found: dict[int, CveAllowlist] = {}
        for some in batches(project_ids):
            for row in await self._conn.execute(_OF_PROJECTS, {"project_ids": some}):
                found[row.project_id] = CveAllowlist(
                    tuple(row.cve_ids), row.expire_time_unix_seconds, row.create_time, row.update_time
                )
        return found

    async def lock_system(self) -> None:
        """See the port."""
        # The row cannot be locked while it does not exist.
        await advisory_xact_lock(self._conn, "system CVE allowlist")

    async def put(self, project_id: int, allowlist: CveAllowlist) -> None:
        """See the port."""
        values = {
            "cve_ids": list(allowlist.cve_ids),
            "expire_time_unix_seconds": allowlist.expire_time_unix_seconds,
            "create_time": allowlist.create_time,
            "update_time": allowlist.update_time,
        }
        insert = upsert(self._conn, cve_allowlist).values(project_id=project_id, **values)
        await self._conn.execute(insert.on_conflict_do_update(index_elements=[cve_allowlist.c.project_id], set_=values))

    async def remove(self, project_id: int) -> None:
        """Deletes the list of a project that is being deleted."""
        await self._conn.execute(delete(cve_allowlist).where(cve_allowlist.c.project_id == project_id))

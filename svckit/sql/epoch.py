"""Begins a new epoch of a change log, whichever service's database it is in."""

from __future__ import annotations

from sqlalchemy import String, column, inspect, table, update

from svckit.sql.change_log import new_epoch
from svckit.sql.database import Database

_STATE = table("change_log", column("epoch", String))


async def renew_epoch(database: Database) -> str | None:
    """Begins a new epoch, and returns it; None if the database has no change log.

    Call this after a restore from a backup, before the service starts. Readers of the old epoch then begin anew.

    Raises:
        DomainError: the database does not answer.
    """
    async with database.write() as conn:
        if not await conn.run_sync(lambda sync: inspect(sync).has_table(_STATE.name)):
            return None
        epoch = new_epoch()
        await conn.execute(update(_STATE).values(epoch=epoch))
        await conn.commit()
    return epoch

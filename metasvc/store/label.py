"""Labels, and the artifacts that they are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from metasvc.domain.label_model import Label
from metasvc.store.prepared import Prepared
from metasvc.store.tables import artifact_label, label
from svckit.sql.database import run_short_one
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.dml import ReturningInsert

    from metasvc.domain.label_model import NewLabel

_GET = select(label).where(label.c.id == bindparam("label_id"))
# FOR KEY SHARE: a deletion waits for this lock, but an update of the label's description does not.
_LOCK_KEPT = _GET.with_for_update(read=True, key_share=True)
_LOCK = _GET.with_for_update()
_UPDATE = (
    update(label)
    .where(label.c.id == bindparam("label_id"))
    .values(
        name=bindparam("new_name"),
        description=bindparam("new_description"),
        color=bindparam("new_color"),
        update_time=bindparam("now"),
        version=label.c.version + 1,
    )
    .returning(label)
)
# ON DELETE CASCADE takes them from the artifacts.
_REMOVE = delete(label).where(label.c.id == bindparam("label_id"))
_REMOVE_OF = delete(label).where(label.c.project_id == bindparam("of_project"))
_TAKE_FROM = (
    delete(artifact_label)
    .where(artifact_label.c.artifact_id == bindparam("of_artifact"), artifact_label.c.label_id == bindparam("of_label"))
    .returning(artifact_label.c.label_id)
)


@Prepared
def _add(conn: AsyncConnection) -> ReturningInsert[Any]:
    return (
        upsert(conn, label).on_conflict_do_nothing(index_elements=[label.c.project_id, label.c.name]).returning(label)
    )


@Prepared
def _put_on(conn: AsyncConnection) -> ReturningInsert[Any]:
    return upsert(conn, artifact_label).on_conflict_do_nothing().returning(artifact_label.c.label_id)


class SqlLabels:
    """See `domain.rows.LabelRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, label_id: int) -> Label | None:
        """See the port."""
        return _found(await run_short_one(self._conn, _GET, {"label_id": label_id}))

    async def lock_kept(self, label_id: int) -> Label | None:
        """See the port."""
        return _found(await run_short_one(self._conn, _LOCK_KEPT, {"label_id": label_id}))

    async def lock(self, label_id: int) -> Label | None:
        """See the port."""
        return _found(await run_short_one(self._conn, _LOCK, {"label_id": label_id}))

    async def add(self, new: NewLabel, now: datetime) -> Label | None:
        """See the port."""
        values = {
            "project_id": new.project_id,
            "name": new.name,
            "description": new.description,
            "color": new.color,
            "create_time": now,
            "update_time": now,
            "version": 0,
        }
        return _found(await run_short_one(self._conn, _add(self._conn), values))

    async def update(self, held: Label, changed: NewLabel, now: datetime) -> Label | None:
        """See the port."""
        values = {
            "label_id": held.id,
            "new_name": changed.name,
            "new_description": changed.description,
            "new_color": changed.color,
            "now": now,
        }
        try:
            # In a savepoint: after an error, PostgreSQL refuses all further statements of a transaction without one.
            async with self._conn.begin_nested():
                return to_label((await self._conn.execute(_UPDATE, values)).one())
        except IntegrityError:
            return None

    async def remove(self, label_id: int) -> None:
        """See the port."""
        await self._conn.execute(_REMOVE, {"label_id": label_id})

    async def remove_of(self, project_id: int) -> None:
        """See the port."""
        await self._conn.execute(_REMOVE_OF, {"of_project": project_id})

    async def put_on(self, artifact_id: int, label_id: int, now: datetime) -> bool:
        """See the port."""
        values = {"artifact_id": artifact_id, "label_id": label_id, "create_time": now}
        return await run_short_one(self._conn, _put_on(self._conn), values) is not None

    async def take_from(self, artifact_id: int, label_id: int) -> bool:
        """See the port."""
        values = {"of_artifact": artifact_id, "of_label": label_id}
        return await run_short_one(self._conn, _TAKE_FROM, values) is not None


def _found(row: Any) -> Label | None:
    return None if row is None else to_label(row)


def to_label(row: Row[Any]) -> Label:
    """Reads a row of the label table."""
    return Label(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        color=row.color,
        create_time=row.create_time,
        update_time=row.update_time,
        version=row.version,
    )

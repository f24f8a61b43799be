"""Lists of the rules that make tags immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, bindparam, select

from metasvc.store.immutable_rule import to_rule
from metasvc.store.tables import immutable_rule
from svckit.sql.selection import count_rows, read_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.immutable_rule_model import ImmutableRule
    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Mapping[str, ColumnElement[Any]] = {"id": immutable_rule.c.id, "disabled": immutable_rule.c.disabled}
_OF_PROJECT = immutable_rule.c.project_id == bindparam("project_id")
_ALL = select(immutable_rule).where(_OF_PROJECT).order_by(immutable_rule.c.id)
_PAGE = select(immutable_rule).where(_OF_PROJECT)
_IDS = select(immutable_rule.c.id).where(_OF_PROJECT)


class SqlImmutableRuleLists:
    """See `domain.lists.ImmutableRuleLists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def of(self, project_id: int) -> list[ImmutableRule]:
        """See the port."""
        return list(map(to_rule, await self._conn.execute(_ALL, {"project_id": project_id})))

    async def page(self, project_id: int, selection: Selection) -> list[ImmutableRule]:
        """See the port."""
        rows = await read_page(self._conn, _PAGE, _COLUMNS, selection, values={"project_id": project_id})
        return list(map(to_rule, rows))

    async def count(self, project_id: int, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _IDS, _COLUMNS, clauses, values={"project_id": project_id})

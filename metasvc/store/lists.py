"""Lists on a database. See `domain.lists`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from metasvc.store.artifact_list import SqlArtifactLists
from metasvc.store.immutable_rule_list import SqlImmutableRuleLists
from metasvc.store.label_list import SqlLabelLists
from metasvc.store.quota_list import SqlQuotaLists
from metasvc.store.repository_list import SqlRepositoryLists
from metasvc.store.tables import blob
from metasvc.store.tag_list import SqlTagLists

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


_STORED_BYTES = select(func.sum(blob.c.size))


class SqlLists:
    """Lists on one connection. See `domain.lists.Lists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    @property
    def repositories(self) -> SqlRepositoryLists:
        """Repositories."""
        return SqlRepositoryLists(self._conn)

    @property
    def artifacts(self) -> SqlArtifactLists:
        """Artifacts and accessories."""
        return SqlArtifactLists(self._conn)

    @property
    def tags(self) -> SqlTagLists:
        """Tags and their moves."""
        return SqlTagLists(self._conn)

    @property
    def labels(self) -> SqlLabelLists:
        """Labels."""
        return SqlLabelLists(self._conn)

    @property
    def immutable_rules(self) -> SqlImmutableRuleLists:
        """Rules that make tags immutable."""
        return SqlImmutableRuleLists(self._conn)

    @property
    def quotas(self) -> SqlQuotaLists:
        """Quotas."""
        return SqlQuotaLists(self._conn)

    async def stored_bytes(self) -> int:
        """See the port."""
        # PostgreSQL's sum of bigint is a decimal.
        return int(await self._conn.scalar(_STORED_BYTES) or 0)

"""Reads the tags, children, accessories or labels of the artifacts of one page. See `domain.lists.Parts`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Generic

from sqlalchemy import bindparam, select, union_all

from metasvc.domain.lists import Parts, T

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy import ColumnCollection, ColumnElement, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection


class PartsQuery(Generic[T]):
    """Reads the rows beside some artifacts, and not more than a limit for all artifacts together.

    If there are more, each artifact gets an equal share of the limit, read by an index. So one with very many takes
    nothing from the others, and costs no more than its share.
    """

    def __init__(
        self,
        query: Select[Any],
        of: Sequence[str],
        order: Sequence[str],
        to_part: Callable[[Row[Any]], T],
        *,
        most: int,
        descending: bool = False,
    ) -> None:
        """Makes the statement.

        Args:
            query: selects the rows of all artifacts.
            of: the columns of `query` that say to which artifact a row belongs.
            order: the columns of `query` that the rows of one artifact are sorted by. The last one is unique in it.
            to_part: reads a row.
            most: the limit.
            descending: whether the greatest come first.
        """
        self._query, self._of, self._order, self._descending = query, of, order, descending
        self._to_part = to_part
        self._most = most
        columns = query.selected_columns
        given = [columns[name].in_(bindparam(f"given_{name}", expanding=True)) for name in of]
        self._all = query.where(*given).order_by(*self._sorted(columns)).limit(most + 1)

    async def read(self, conn: AsyncConnection, artifacts: Collection[Sequence[Any]]) -> Parts[Any, T]:
        """Reads the rows of these artifacts, each given by its values of `of`.

        The answer has them by this value, or by the tuple of values if `of` has several columns.
        """
        if not artifacts:
            return Parts({})
        values = {f"given_{name}": sorted({key[place] for key in artifacts}) for place, name in enumerate(self._of)}
        rows = (await conn.execute(self._all, values)).all()
        share = self._most
        if len(rows) > self._most and len(artifacts) > 1:
            share = self._most // len(artifacts)
            rows = (await conn.execute(self._shares(artifacts, share + 1))).all()
        return self._parts(rows, {self._key(key) for key in artifacts}, share)

    def _shares(self, artifacts: Iterable[Sequence[Any]], most: int) -> Select[Any]:
        columns = self._query.selected_columns
        each = [
            self._query.where(*(columns[name] == value for name, value in zip(self._of, key, strict=True)))
            .order_by(*self._sorted(columns))
            .limit(most)
            .subquery()
            for key in artifacts
        ]
        found = union_all(*map(select, each)).subquery()
        return select(found).order_by(*self._sorted(found.c))

    def _sorted(self, columns: ColumnCollection[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        order = [columns[name] for name in self._order]
        return [
            *(columns[name] for name in self._of),
            *(column.desc() if self._descending else column for column in order),
        ]

    def _parts(self, rows: Iterable[Row[Any]], wanted: Collection[Any], share: int) -> Parts[Any, T]:
        found: defaultdict[Any, list[T]] = defaultdict(list)
        incomplete = set()
        for row in rows:
            key = self._key([getattr(row, name) for name in self._of])
            # Two columns are compared one by one, so rows of artifacts of another page may be among these.
            if key not in wanted:
                continue
            if len(found[key]) < share:
                found[key].append(self._to_part(row))
            else:
                incomplete.add(key)
        return Parts(found, incomplete)

    def _key(self, values: Sequence[Any]) -> Any:
        return values[0] if len(values) == 1 else tuple(values)

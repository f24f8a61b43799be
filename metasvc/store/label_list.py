"""Lists of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, bindparam, case, func, select

from metasvc.domain.lists import MOST_LISTED_LABEL_CHARACTERS, MOST_LISTED_LABELS
from metasvc.store.label import to_label
from metasvc.store.parts import PartsQuery
from metasvc.store.tables import artifact_label, label
from svckit.sql.selection import count_rows, read_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.label_model import Label
    from metasvc.domain.lists import Parts
    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "id": label.c.id,
    "name": label.c.name,
    "description": label.c.description,
    "color": label.c.color,
    "creation_time": label.c.create_time,
    "update_time": label.c.update_time,
}
_OF_PROJECT = label.c.project_id == bindparam("project_id")
_PAGE = select(label).where(_OF_PROJECT)
_IDS = select(label.c.id).where(_OF_PROJECT)
_LABELS = select(artifact_label.c.artifact_id, label).join(label, label.c.id == artifact_label.c.label_id)
# The database compares the length, so that long texts are not sent.
_SHORT_DESCRIPTION = case(
    (func.length(label.c.description) <= MOST_LISTED_LABEL_CHARACTERS, label.c.description), else_=""
)
_SHORT_LABELS = _LABELS.with_only_columns(
    artifact_label.c.artifact_id,
    *(column for column in label.c if column is not label.c.description),
    _SHORT_DESCRIPTION.label("description"),
)
_ON_ARTIFACTS, _LISTED_ON_ARTIFACTS = (
    PartsQuery(labels, ["artifact_id"], ["name", "id"], to_label, most=MOST_LISTED_LABELS)
    for labels in (_LABELS, _SHORT_LABELS)
)


class SqlLabelLists:
    """See `domain.lists.LabelLists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def page(self, project_id: int, selection: Selection) -> list[Label]:
        """See the port."""
        rows = await read_page(self._conn, _PAGE, _COLUMNS, selection, values={"project_id": project_id})
        return list(map(to_label, rows))

    async def count(self, project_id: int, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _IDS, _COLUMNS, clauses, values={"project_id": project_id})

    async def on_artifacts(self, artifact_ids: Sequence[int], *, whole: bool) -> Parts[int, Label]:
        """See the port."""
        query = _ON_ARTIFACTS if whole else _LISTED_ON_ARTIFACTS
        return await query.read(self._conn, [(artifact_id,) for artifact_id in artifact_ids])

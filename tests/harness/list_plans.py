"""Pages of large lists, and what their statements read, as the databases themselves tell."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, make_url

from metasvc.domain.artifact import list_accessories, list_artifacts, list_project_artifacts
from metasvc.domain.artifact_tag import list_moves, list_tags
from metasvc.domain.label import list_labels
from metasvc.domain.label_model import LabelScope
from metasvc.domain.lists import ArtifactParts
from metasvc.domain.ports import Ports
from metasvc.domain.repository import list_all_repositories, list_repositories
from metasvc.store import migrations
from svckit.access.decision import AccessibleProjects
from svckit.listing import ListRequest, Page
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import World
from tests.harness.databases import SCHEMA, Templates, open_database
from tests.harness.many_rows import (
    BUSY_PROJECT,
    BUSY_REPOSITORY,
    CONFIG,
    SIGNED_REPOSITORY,
    TAGGED_ARTIFACT,
    Scale,
    digest,
    fill,
)
from tests.harness.postgres import numbered_database
from tests.harness.postgres_server import PostgresServer

THOUSANDTH = 1000
_EVERYTHING = ArtifactParts(tags=True, accessories=True, labels=True, inherited_accessories=True)
_BUSY, _SIGNED = f"p1/r{BUSY_REPOSITORY}", f"p1/r{SIGNED_REPOSITORY}"


class _Anybody:
    """A caller who may read all labels; see `domain.ports.LabelAccess`."""

    async def check_identity(self) -> None:
        """Everybody is known."""

    async def check_project(self, project_id: int, action: str) -> None:
        """Everything is allowed."""

    async def check_system(self, action: str) -> None:
        """Everything is allowed."""


List = Callable[[Ports, Scale, ListRequest], Awaitable[Page[Any]]]


@dataclass(frozen=True)
class Case:
    """One list in one order.

    Attributes:
        name: of the list.
        read: reads a page of it.
        sort: the order.
        q: the filter.
        reads_page_only: whether an index has the order, so that not more than the page is read.
        projects: the projects that the caller may see; None for all.
    """

    name: str
    read: List
    sort: str = ""
    q: str = ""
    reads_page_only: bool = True
    projects: frozenset[int] | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.name, self.sort, self.q.partition("=")[0])))


@dataclass(frozen=True)
class Read:
    """One page, and what it cost.

    Attributes:
        items: the rows.
        scans: tables that were read from end to end.
        cost: rows on PostgreSQL, steps of its machine on SQLite.
    """

    items: Sequence[object]
    scans: Sequence[str]
    cost: int


Statement = tuple[str, Any]


class Filled:
    """A database with very many rows.

    Attributes:
        url: of the database.
        scale: how many rows.
        cost_of_row: the cost of a row that is read, in the units of `Read.cost`.
    """

    def __init__(self, url: str, scale: Scale) -> None:
        self.url = url
        self.scale = scale
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self.cost_of_row = 40 if self.is_sqlite else 1

    async def pages(self, case: Case, page_size: int) -> tuple[Read, Read]:
        """The first page of a list, and the thousandth by token."""
        async with self._open(case, page_size) as (ports, first, thousandth):
            return await self._read(case, ports, first), await self._read(case, ports, thousandth)

    async def first_page(self, case: Case, page_size: int) -> Read:
        """The first page of a list, and its total."""
        async with self._world(case) as ports:
            request = ListRequest(q=case.q, sort=case.sort, page_size=page_size, with_total=True)
            return await self._read(case, ports, request)

    async def seconds(self, case: Case, page_size: int, rounds: int) -> tuple[float, float]:
        """How long the same two pages take: the least of so many rounds, in turn. Others may use the machine."""
        taken: tuple[list[float], list[float]] = ([], [])
        async with self._open(case, page_size) as (ports, *requests):
            for _ in range(rounds):
                for request, seconds in zip(requests, taken, strict=True):
                    begin = time.perf_counter()
                    await case.read(ports, self.scale, request)
                    seconds.append(time.perf_counter() - begin)
        return min(taken[0]), min(taken[1])

    @asynccontextmanager
    async def _open(self, case: Case, page_size: int) -> AsyncIterator[tuple[Ports, ListRequest, ListRequest]]:
        async with self._world(case) as ports:
            first = ListRequest(q=case.q, sort=case.sort, page_size=page_size)
            before = await case.read(ports, self.scale, replace(first, page=THOUSANDTH - 1))
            assert before.next_page_token, "there are not so many rows"
            yield ports, first, replace(first, page_token=before.next_page_token)

    @asynccontextmanager
    async def _world(self, case: Case) -> AsyncIterator[Ports]:
        database = await open_database(self.url)
        try:
            world = World(database)
            world.visible.projects = AccessibleProjects(case.projects is None, case.projects or frozenset())
            yield world.ports
        finally:
            await database.close()

    async def _read(self, case: Case, ports: Ports, request: ListRequest) -> Read:
        with _statements() as sent:
            page = await case.read(ports, self.scale, request)
        measure = _measured_by_sqlite if self.is_sqlite else _measured_by_postgresql
        scans, cost = measure(self.url, sent)
        return Read(page.items, scans, cost)


@contextmanager
def large_database(request: pytest.FixtureRequest, kind: str, scale: Scale) -> Iterator[Filled]:
    """A database of a kind with very many rows, for a fixture of any scope."""
    templates: Templates = request.getfixturevalue("database_templates")
    with ExitStack() as stack:
        if kind == "sqlite":
            file = request.getfixturevalue("tmp_path_factory").mktemp("many") / "service.db"
            shutil.copyfile(asyncio.run(templates.sqlite_file(migrations)), file)
            url = f"sqlite:///{file}"
        else:
            # Requested by name, so that a run without PostgreSQL tests does not start a server.
            server: PostgresServer = request.getfixturevalue("postgres_server")
            template = asyncio.run(templates.postgres_name(server, migrations))
            url = stack.enter_context(numbered_database(server, template))
        _fill(url, scale)
        yield Filled(url, scale)


def _fill(url: str, scale: Scale) -> None:
    if make_url(url).get_backend_name() == "sqlite":
        with closing(sqlite3.connect(make_url(url).database or "", isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            fill(connection.execute, "sqlite", scale)
    else:
        with _postgresql(url) as session:
            fill(lambda statement: session.execute(statement.encode()), "postgresql", scale)


@contextmanager
def _statements() -> Iterator[list[Statement]]:
    sent: list[Statement] = []

    def note(_conn: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def _measured_by_sqlite(url: str, sent: Sequence[Statement]) -> tuple[list[str], int]:
    scans: list[str] = []
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(sqlite3.connect(f"file:{make_url(url).database}?mode=ro", uri=True)) as connection:
        for statement, parameters in sent:
            plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            # Without a sort, a scan is in the order of an index or of the key, and ends with the page.
            if "USE TEMP B-TREE FOR ORDER BY" in plan:
                scans += [detail for detail in plan if detail.startswith("SCAN ") and " USING " not in detail]
            connection.set_progress_handler(count, 1)
            connection.execute(statement, parameters).fetchall()
            connection.set_progress_handler(None, 1)
    return scans, steps


def _measured_by_postgresql(url: str, sent: Sequence[Statement]) -> tuple[list[str], int]:
    scans: list[str] = []
    rows = 0
    with _postgresql(url) as session:
        for statement, parameters in sent:
            explained = session.execute(
                b"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement.encode(), parameters
            ).fetchone()
            assert explained is not None
            for node in _nodes(explained[0][0]["Plan"]):
                if node["Node Type"] == "Seq Scan":
                    scans.append(f"{node['Relation Name']} in {statement}")
                if "Relation Name" in node:
                    removed = sum(value for key, value in node.items() if key.startswith("Rows Removed"))
                    rows += round((node["Actual Rows"] + removed) * node["Actual Loops"])
    return scans, rows


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


@contextmanager
def _postgresql(url: str) -> Iterator[psycopg.Connection[Any]]:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True, options=f"-c search_path={SCHEMA}") as session:
        yield session


async def _all_repositories(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_all_repositories(ports, request=request)


async def _repositories(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_repositories(ports, project_id=BUSY_PROJECT, request=request)


async def _artifacts(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_artifacts(ports, project_id=BUSY_PROJECT, repository=_BUSY, request=request, parts=_EVERYTHING)


async def _project_artifacts(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_project_artifacts(
        ports, project_id=BUSY_PROJECT, request=request, parts=_EVERYTHING, latest=False
    )


async def _latest_artifacts(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_project_artifacts(ports, project_id=BUSY_PROJECT, request=request, parts=_EVERYTHING, latest=True)


async def _tags(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    reference = Reference.parse(digest(TAGGED_ARTIFACT))
    return await list_tags(ports, project_id=BUSY_PROJECT, repository=_BUSY, reference=reference, request=request)


async def _moves(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_moves(ports, project_id=BUSY_PROJECT, repository=_BUSY, name="t1", request=request)


async def _accessories(ports: Ports, scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_accessories(
        ports,
        project_id=BUSY_PROJECT,
        repository=_SIGNED,
        reference=Reference.parse(digest(scale.signed)),
        request=request,
    )


async def _labels(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_labels(
        ports, _Anybody(), scope=LabelScope.PROJECT, project_id=BUSY_PROJECT, name="", request=request
    )


async def _global_labels(ports: Ports, _scale: Scale, request: ListRequest) -> Page[Any]:
    return await list_labels(ports, _Anybody(), scope=LabelScope.GLOBAL, project_id=0, name="", request=request)


OLDER_HALF = Case("latest artifacts", _latest_artifacts, q=f"media_type={CONFIG},id=[~{Scale().busiest // 2}]")
"""All artifacts that match are in one repository, and so many that do not match were pushed after them."""

_REPOSITORY_SORTS = ("", "creation_time", "name", "-name", "update_time", "-update_time", "pull_count", "-pull_count")
CASES: Sequence[Case] = (
    *(Case("all repositories", _all_repositories, sort) for sort in (*_REPOSITORY_SORTS, "id")),
    *(Case("repositories of a project", _repositories, sort) for sort in _REPOSITORY_SORTS),
    Case("repositories of a project", _repositories, "id", reads_page_only=False),
    Case("some projects' repositories", _all_repositories, projects=frozenset(range(1, 400)), reads_page_only=False),
    *(Case("artifacts", _artifacts, sort) for sort in ("", "push_time", "digest", "size", "-size")),
    *(
        Case("artifacts", _artifacts, sort, reads_page_only=False)
        for sort in ("-pull_time", "-type", "media_type", "id")
    ),
    Case("artifacts", _artifacts, q="tags=*"),
    Case("artifacts", _artifacts, q="labels=(1)", reads_page_only=False),
    Case("artifacts", _artifacts, q=f"media_type={CONFIG}"),
    *(Case("artifacts of a project", _project_artifacts, sort) for sort in ("", "push_time", "-size")),
    Case("artifacts of a project", _project_artifacts, "-pull_time", reads_page_only=False),
    Case("latest artifacts", _latest_artifacts, q=f"media_type={CONFIG}", reads_page_only=False),
    *(Case("tags", _tags, sort) for sort in ("", "push_time")),
    *(Case("tags", _tags, sort, reads_page_only=False) for sort in ("name", "-id")),
    Case("moves of a tag", _moves),
    *(Case("accessories", _accessories, sort) for sort in ("", "-artifact_id")),
    Case("accessories", _accessories, "-creation_time", reads_page_only=False),
    *(Case("labels", _labels, sort) for sort in ("", "creation_time", "name")),
    Case("labels", _labels, "-update_time", reads_page_only=False),
    Case("global labels", _global_labels),
)

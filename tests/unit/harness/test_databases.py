import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import metasvc.store.migrations
from tests.harness.databases import Templates


async def test_a_template_has_the_tables_and_is_made_once(tmp_path: Path) -> None:
    file = await Templates(tmp_path).sqlite_file(metasvc.store.migrations)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM repository").fetchone() == (0,)
    changed = file.stat().st_mtime_ns

    assert await Templates(tmp_path).sqlite_file(metasvc.store.migrations) == file
    assert file.stat().st_mtime_ns == changed


def _make(folder: Path) -> bool:
    with Templates(folder).made_once("a template") as make:
        return make


def test_of_several_workers_one_makes_a_template(tmp_path: Path) -> None:
    # Each opens the lock for itself, as a process does.
    with ThreadPoolExecutor(4) as workers:
        made = list(workers.map(_make, [tmp_path] * 8))
    assert sorted(made) == [False] * 7 + [True]


def test_what_one_failed_to_make_another_makes(tmp_path: Path) -> None:
    def fail() -> None:
        with Templates(tmp_path).made_once("a template"):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert _make(tmp_path)
    assert not _make(tmp_path)

"""What an installation has is written down, and services are told to insist on it."""

from pathlib import Path

import pytest

from blobsvc.store.filesystem import layout
from ctl.data_dir import DataDir
from ctl.errors import CommandError
from ctl.established import Established
from svckit.services import SERVICES
from svckit.store_id import STORE_ID_FILE


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    (tmp_path / "blobsvc").mkdir()
    (tmp_path / "blobsvc" / STORE_ID_FILE).write_text("an-id\n")
    return DataDir(tmp_path)


def test_the_store_id_lies_where_blobsvc_puts_it(tmp_path: Path) -> None:
    made = layout.Layout(tmp_path)
    made.prepare()

    assert (tmp_path / STORE_ID_FILE).read_text().strip() == made.store_id


def test_nothing_is_insisted_on_before_everything_served(data_dir: DataDir) -> None:
    assert not any(Established.load(data_dir).settings(row) for row in SERVICES.values())


def test_all_data_is_insisted_on_afterwards(data_dir: DataDir) -> None:
    Established.find(data_dir).save(data_dir)

    known = Established.load(data_dir)

    assert known.settings(SERVICES["authsvc"]) == {"database_must_exist": True}
    assert known.settings(SERVICES["metasvc"]) == {"database_must_exist": True}
    assert known.settings(SERVICES["blobsvc"]) == {"store_id": "an-id"}
    assert known.settings(SERVICES["gateway"]) == {}


def test_a_service_may_be_left_out(data_dir: DataDir) -> None:
    Established.find(data_dir).save(data_dir)

    known = Established.load(data_dir).without(["blobsvc", "metasvc"])

    assert known.settings(SERVICES["authsvc"])
    assert not known.settings(SERVICES["metasvc"])
    assert not known.settings(SERVICES["blobsvc"])


def test_data_that_a_variable_puts_elsewhere_is_neither_noted_nor_forgotten(
    data_dir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    Established.find(data_dir).save(data_dir)
    monkeypatch.setenv("ROADSTEAD_METASVC_DATABASE_URL", "postgresql://elsewhere/db")

    assert not Established.load(data_dir).settings(SERVICES["metasvc"])
    Established.find(data_dir).save(data_dir)
    monkeypatch.delenv("ROADSTEAD_METASVC_DATABASE_URL")

    assert Established.load(data_dir).settings(SERVICES["metasvc"])


@pytest.mark.parametrize("text", ["", "[]", '{"databases": 1, "stores": {}}', '{"databases": [], "stores": []}'])
def test_a_damaged_file_is_named(data_dir: DataDir, text: str) -> None:
    data_dir.established_file.write_text(text)

    with pytest.raises(CommandError, match=r"established\.json is damaged"):
        Established.load(data_dir)

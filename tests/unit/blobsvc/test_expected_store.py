"""A store with another id than the expected one is refused, and nothing is created in its folder."""

from pathlib import Path

import pytest

from blobsvc.store.filesystem.layout import Layout, WrongStoreError


@pytest.fixture
def store_id(tmp_path: Path) -> str:
    made = Layout(tmp_path / "store")
    made.prepare()
    return made.store_id


def test_the_expected_store_is_opened(tmp_path: Path, store_id: str) -> None:
    Layout(tmp_path / "store", store_id).prepare()


def test_another_store_is_refused(tmp_path: Path, store_id: str) -> None:
    with pytest.raises(WrongStoreError, match=f"holds the store {store_id}"):
        Layout(tmp_path / "store", "another-id").prepare()


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_a_folder_without_a_store_is_refused_and_stays_as_it_is(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "empty"
    if exists:
        folder.mkdir()

    with pytest.raises(WrongStoreError, match="holds no store"):
        Layout(folder, "an-id").prepare()

    assert folder.exists() == exists
    assert not exists or not any(folder.iterdir())

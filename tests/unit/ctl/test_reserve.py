"""A reserve is taken while there is space, and given back when there is none."""

from pathlib import Path

from ctl.reserve import RESERVE_BYTES, fill, release
from tests.harness.small_disk import small_disk

DISK_BYTES = 8 * 1024 * 1024


def test_it_takes_its_space_once(tmp_path: Path) -> None:
    fill(tmp_path / "reserve")
    fill(tmp_path / "reserve")

    assert (tmp_path / "reserve").stat().st_blocks * 512 >= RESERVE_BYTES


def test_it_stays_while_there_is_space(tmp_path: Path) -> None:
    fill(tmp_path / "reserve")

    assert not release(tmp_path / "reserve")
    assert (tmp_path / "reserve").exists()


def test_a_full_disk_gets_it_back_and_gives_what_is_left_for_the_next_time(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        file = disk.folder / "reserve"
        fill(file)
        disk.fill()

        assert release(file)
        assert disk.free_bytes() >= RESERVE_BYTES
        # The start takes a part of it.
        (disk.folder / "log").write_bytes(bytes(RESERVE_BYTES // 4))
        fill(file)

        assert RESERVE_BYTES // 4 <= file.stat().st_size < RESERVE_BYTES


def test_a_full_disk_without_a_reserve_is_no_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        disk.fill()

        assert not release(disk.folder / "reserve")
        fill(disk.folder / "reserve")
        assert not (disk.folder / "reserve").exists()

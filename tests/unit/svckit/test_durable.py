import errno
import os
from pathlib import Path

import pytest

from svckit.durable import create_file, overwrite_file, replace_file, write_process_id


def test_a_file_is_made_with_its_mode_and_content(tmp_path: Path) -> None:
    create_file(tmp_path / "a", b"one", mode=0o640)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_making_never_touches_what_is_there(tmp_path: Path) -> None:
    create_file(tmp_path / "a", b"one", mode=0o600)
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "a", b"two", mode=0o600)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_replacing_takes_the_place_and_the_mode(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"one", mode=0o600)
    replace_file(tmp_path / "a", b"two", mode=0o644)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_bytes_are_synced_before_the_name_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link, replace = os.fsync, os.link, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("sync folder" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "sync file")
        fsync(descriptor)

    def noted_link(source: Path, target: Path) -> None:
        steps.append("name")
        link(source, target)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    monkeypatch.setattr(Path, "replace", noted_replace)
    create_file(tmp_path / "a", b"one", mode=0o600)
    replace_file(tmp_path / "a", b"two", mode=0o600)
    assert steps == ["sync file", "name", "sync folder"] * 2


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file(tmp_path / "a", b"one", mode=0o600)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "a", b"two", mode=0o600)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_overwriting_keeps_the_file_and_leaves_nothing_of_longer_content(tmp_path: Path) -> None:
    overwrite_file(tmp_path / "a", b"longer", mode=0o600)
    inode = (tmp_path / "a").stat().st_ino

    overwrite_file(tmp_path / "a", b"new", mode=0o640)

    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "a").stat().st_ino == inode
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_process_id_replaces_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"99999999999\n")

    with (tmp_path / "lock").open("r+b") as file:
        write_process_id(file.fileno())

    assert (tmp_path / "lock").read_bytes() == f"{os.getpid()}\n".encode()


def test_a_process_id_without_space_for_it_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "lock").write_bytes(b"1\n")
    monkeypatch.setattr(os, "pwrite", full)

    with (tmp_path / "lock").open("r+b") as file:
        write_process_id(file.fileno())

    assert (tmp_path / "lock").read_bytes() == b""

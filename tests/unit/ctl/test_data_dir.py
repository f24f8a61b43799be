"""The data directory: one supervisor at a time, of this format, with its secrets for the owner alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ctl.data_dir import FORMAT, DataDir
from ctl.errors import CommandError
from tests.harness.small_disk import small_disk


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path / "data")


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROADSTEAD_ADMIN_PASSWORD", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_lies_where_the_user_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert DataDir.default().path == Path("/home/somebody/.local/share/roadstead")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/to/be/ignored")
    assert DataDir.default().path == Path("/home/somebody/.local/share/roadstead")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert DataDir.default().path == Path("/data/roadstead")


def test_it_is_made_for_the_owner_alone(data_dir: DataDir) -> None:
    with data_dir.opened():
        assert mode(data_dir.path) == 0o700
        assert data_dir.format_file.read_text() == f"{FORMAT}\n"


def test_a_second_one_is_refused_and_told_who_has_it(data_dir: DataDir) -> None:
    with (
        data_dir.opened(),
        pytest.raises(CommandError, match=f"process {os.getpid()} runs `roadstead up` on {data_dir.path} already"),
        DataDir(data_dir.path).opened(),
    ):
        pass


def test_whoever_asks_learns_who_has_it(data_dir: DataDir) -> None:
    assert data_dir.lock_holder() is None
    with data_dir.opened():
        assert data_dir.lock_holder() == os.getpid()
    assert data_dir.lock_holder() is None


def test_a_lock_dies_with_its_process(data_dir: DataDir) -> None:
    source = f"""
import os, pathlib
from ctl.data_dir import DataDir
with DataDir(pathlib.Path({str(data_dir.path)!r})).opened():
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", source], check=False)

    with data_dir.opened():
        pass


def test_what_a_newer_program_has_written_is_refused(data_dir: DataDir) -> None:
    with data_dir.opened():
        data_dir.format_file.write_text(f"{FORMAT + 1}\n")

    with pytest.raises(CommandError, match=f"newer Roadstead \\(format {FORMAT + 1}"), data_dir.opened():
        pass


def test_a_format_that_is_no_number_is_refused(data_dir: DataDir) -> None:
    with data_dir.opened():
        data_dir.format_file.write_text("one\n")

    with pytest.raises(CommandError, match="does not hold the number"), data_dir.opened():
        pass


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(data_dir: DataDir) -> None:
    data_dir.path.mkdir()
    (data_dir.path / "thesis.tex").touch()

    with pytest.raises(CommandError, match="is not a data directory of Roadstead"), data_dir.opened():
        pass

    assert not data_dir.format_file.exists()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CommandError, match="cannot use the data directory"), DataDir(tmp_path / "file" / "d").opened():
        pass


def test_a_password_is_made_up_once_and_kept_for_the_owner(data_dir: DataDir) -> None:
    with data_dir.opened():
        password, is_new = data_dir.admin_password()

        assert is_new
        assert data_dir.admin_password() == (password, False)
        assert mode(data_dir.password_file) == 0o600
        assert 8 <= len(password) <= 128
        assert {"upper", "lower", "digit"} <= {kind_of(character) for character in password}


def kind_of(character: str) -> str:
    return "upper" if character.isupper() else "lower" if character.islower() else "digit"


def test_a_password_in_the_environment_counts_at_the_first_start_only(
    data_dir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    with data_dir.opened():
        monkeypatch.setenv("ROADSTEAD_ADMIN_PASSWORD", "First1234")
        assert data_dir.admin_password() == ("First1234", False)
        monkeypatch.setenv("ROADSTEAD_ADMIN_PASSWORD", "Later1234")
        assert data_dir.admin_password() == ("First1234", False)


def test_the_folder_of_the_sockets_is_ours_alone_short_and_gone_at_the_end(data_dir: DataDir) -> None:
    with data_dir.opened(), data_dir.socket_folder() as folder:
        assert mode(folder) == 0o700
        assert data_dir.sockets.resolve() == folder
        assert len(os.fsencode(folder / "meta.sock")) <= 107
        (folder / "meta.sock").touch()

    assert not folder.exists()
    assert not data_dir.sockets.is_symlink()


def test_the_runtime_folder_is_used_unless_its_path_is_too_long(
    data_dir: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    with data_dir.opened():
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        if len(str(tmp_path)) < 80:
            with data_dir.socket_folder() as folder:
                assert folder.parent == tmp_path
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
        with data_dir.socket_folder() as folder:
            assert folder.parent != long
    assert list(long.iterdir()) == []


def test_what_a_killed_one_left_behind_is_removed(data_dir: DataDir, tmp_path: Path) -> None:
    left = tmp_path / "rs-left"
    left.mkdir()
    (left / "meta.sock").touch()
    with data_dir.opened():
        data_dir.sockets.symlink_to(left)
        with data_dir.socket_folder():
            assert not left.exists()


def test_a_link_to_something_else_is_not_followed(data_dir: DataDir, tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.mkdir()
    with data_dir.opened():
        data_dir.sockets.symlink_to(other)
        with data_dir.socket_folder() as folder:
            assert data_dir.sockets.resolve() == folder
    assert other.is_dir()


def test_what_a_killed_first_start_was_writing_does_not_make_the_directory_somebody_elses(tmp_path: Path) -> None:
    for name in (".format.k1lled", ".admin-password.k1lled", ".established.json.k1lled"):
        (tmp_path / name).write_bytes(b"")

    with DataDir(tmp_path).opened():
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["format", "lock"]


def test_a_directory_on_a_read_only_disk_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024 * 1024) as disk:
        with DataDir(disk.folder).opened():
            pass
        subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)

        with pytest.raises(CommandError, match="Read-only file system"), DataDir(disk.folder).opened():
            pass

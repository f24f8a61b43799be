"""Passwords come from where nobody else looks."""

import os
from pathlib import Path

import pytest

from ctl.admin.secret import SecretSource, new_secret_file, read_secret_file
from ctl.errors import CommandError


@pytest.mark.parametrize("text", ["ask", "stdin", "file:/run/secret", "variable:SECRET"])
def test_a_source_is_read_as_it_is_written(text: str) -> None:
    assert str(SecretSource.parse(text)) == text


@pytest.mark.parametrize("text", ["", "Passw0rd", "ask:me", "file", "file:", "variable:", "stdin:x"])
def test_another_source_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is none of ask, stdin, file:PATH and variable:NAME"):
        SecretSource.parse(text)


def test_a_file_holds_the_password_and_a_line_break(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(" with spaces \n")
    assert read_secret_file(file) == " with spaces "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "password"
    file.write_text("Passw0rd")
    file.chmod(mode)
    with pytest.raises(CommandError, match=f"mode {mode:04o}"):
        read_secret_file(file)


def test_a_pipe_of_the_shell_is_a_file(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"Passw0rd\n")
    os.close(theirs)
    try:
        assert read_secret_file(Path(f"/dev/fd/{ours}")) == "Passw0rd"
    finally:
        os.close(ours)


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "is not UTF-8")])
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        read_secret_file(file)


def test_a_secret_goes_into_a_new_file_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    old_mask = os.umask(0)
    try:
        with new_secret_file(file) as opened:
            opened.write("Secret")
    finally:
        os.umask(old_mask)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("Secret\n", 0o600)
    with pytest.raises(CommandError, match="exists already"), new_secret_file(file):
        pass
    assert file.read_text() == "Secret\n"


def test_a_file_without_a_secret_does_not_stay(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(CommandError, match="refused"), new_secret_file(file):
        raise CommandError("refused")
    assert not file.exists()

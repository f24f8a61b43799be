"""The command line is made from the table, and completes itself."""

import argparse
import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from ctl.__main__ import command_line, main
from ctl.admin.table import NOUNS, SINGLE
from tests.harness.programs import program


def commands() -> list[str]:
    """The words of every command in the table."""
    nouns = [f"{noun.name} {command.verb}" for noun in NOUNS for command in noun.commands]
    return nouns + [command.verb for command in SINGLE]


@pytest.mark.parametrize("words", commands())
def test_each_command_explains_itself(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["admin", *words.split(), "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: roadstead admin {words} " in text
    # No secret is an argument, and no command offers one.
    assert "--password " not in text


def test_every_argument_says_what_it_is() -> None:
    for noun in NOUNS:
        assert noun.columns
        for command in noun.commands:
            assert all(each.options.get("help") for each in command.arguments), command


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and all below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def test_every_command_says_what_it_does_and_what_its_arguments_are() -> None:
    found = list(parsers(command_line(with_admin=True)))
    assert len(found) > 50
    assert [each.prog for each in found if not each.description] == []
    assert [
        (each.prog, action.dest)
        for each in found
        for action in each._actions
        if not action.help and action.dest != argparse.SUPPRESS
    ] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("user list", "user is not known; did you mean users?"),
        ("users lst", "lst is not known; did you mean list?"),
        ("nonsense", "nonsense is not known; there are users, projects"),
        ("users list --jsn", "--jsn is not known; did you mean --json?"),
        ("users list more", "there are more arguments than it takes"),
        ("users", "the following arguments are required: VERB"),
        ("", "the following arguments are required: TASK"),
    ],
)
def test_what_was_meant_is_suggested(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["admin", *words.split()])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def bash_completions() -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["admin", "completion", "bash"]) == 0
    return out.getvalue()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("roadstead ad", "admin"),
        ("roadstead admin pro", "projects profiles"),
        ("roadstead admin users set-", "set-password set-admin"),
        ("roadstead admin projects create x --pu", "--public"),
        ("roadstead admin users set-admin x ", "yes no"),
        ("roadstead admin keys rot", "rotate"),
        ("roadstead admin refresh-tokens re", "revoke"),
        ("roadstead admin refresh-tokens list --us", "--user"),
        ("roadstead admin completion ", "bash zsh fish"),
    ],
)
def test_bash_completes(bash_completions: str, line: str, offered: str) -> None:
    words = line.split(" ")
    script = (
        f"{bash_completions}\n"
        f"COMP_WORDS=({' '.join(word or chr(39) * 2 for word in words)}); COMP_CWORD={len(words) - 1}\n"
        '_shtab_roadstead "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}"\n'
        'echo "${COMPREPLY[@]}"\n'
    )
    result = subprocess.run(["bash"], input=script, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == offered.split(), result.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("roadstead ad", {"admin"}),
        ("roadstead admin pro", {"projects", "profiles"}),
        ("roadstead admin users set-", {"set-password", "set-admin"}),
        ("roadstead admin refresh-tokens re", {"revoke"}),
        ("roadstead admin projects create x --pu", {"--public"}),
        ("roadstead admin users set-admin x ", {"yes", "no"}),
    ],
)
def test_fish_completes(line: str, offered: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fish = program("fish")
    assert main(["admin", "completion", "fish"]) == 0
    script = f"{capsys.readouterr().out}\ncomplete -C '{line}'\n"
    result = subprocess.run(
        [fish, "--no-config"],
        input=script,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert {each.partition("\t")[0] for each in result.stdout.splitlines()} == offered, result.stderr


def test_zsh_can_read_its_completions(capsys: pytest.CaptureFixture[str]) -> None:
    zsh = program("zsh")
    assert main(["admin", "completion", "zsh"]) == 0
    result = subprocess.run(
        [zsh, "-f", "-n"], input=capsys.readouterr().out, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "completion", shell]) == 0
    text = capsys.readouterr().out
    for noun in NOUNS:
        assert noun.name in text
        for command in noun.commands:
            assert command.verb in text


def test_the_supervisor_does_not_load_the_commands_of_admin() -> None:
    parser = command_line(with_admin=False)
    assert all(action.dest != "json" for action in _all_actions(parser))


def _all_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _all_actions(each)

"""Tables are aligned and cannot command a terminal; JSON is what programs can read."""

import json

import pytest

from ctl.admin.command import Column
from ctl.admin.output import print_json, print_table

COLUMNS = (Column("NAME", "name"), Column("PUBLIC", "metadata.public"), Column("OFF", "off"))


def test_a_list_has_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": "a", "metadata": {"public": "x"}, "off": True}, {"name": "long", "off": False}], COLUMNS)
    assert capsys.readouterr().out == "NAME  PUBLIC  OFF\na     x       yes\nlong  -       no\n"


def test_an_empty_list_has_its_titles(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([], COLUMNS)
    assert capsys.readouterr().out == "NAME  PUBLIC  OFF\n"


def test_one_object_has_a_line_for_each_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"name": "a", "off": None}, COLUMNS)
    assert capsys.readouterr().out == "NAME    a\nPUBLIC  -\nOFF     -\n"


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b2J", "a\nb", "a\rb", "\u202egnp.exe", "\x07"])
def test_a_name_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str], evil: str) -> None:
    print_table([{"name": evil}], COLUMNS[:1])
    (_, line) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    print_json([{"name": evil}])
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed) == [{"name": evil}]

"""docs/access.md says who may do what as the contracts and the code do."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.contracts import every_rpc

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
# What rpcs.toml, which is written by hand, says in one word, and what the page then says of who may call.
WORDS = {
    "public": "anybody",
    "authenticated": "users and robots",
    "filtered": "anybody; the answer holds what the caller may see",
    "self": "the user in `user_id`, administrators",
    "administrator": "administrators, robots with the permission",
    "system": "administrators, robots with the permission",
    "project": "who holds the permission",
    "either": "who holds the permission",
    "somewhere": "who holds the permission",
    "service": "only ",
    "each": "only gateway, for callers who hold the permission",
    "holder": "who was given the ",
}
SETTING = {"auth.v1.ProjectService/CreateProject": "users (a setting), robots with the permission"}
FOUND = {"meta.v1.BlobLinkService/QuarantineBlob": "anybody with a finding"}


def test_its_tables_are_what_the_program_writes() -> None:
    command = [sys.executable, "-m", "scripts.write_access_reference", "--check"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr


def test_every_rpc_has_one_row_below_its_service() -> None:
    assert sorted(name for name, *_ in _rpcs()) == sorted(rpc.name for rpc in every_rpc())


def test_it_admits_to_each_rpc_whom_the_list_by_hand_admits() -> None:
    expected = {
        f"{service}/{rpc}": line.partition(";")[0].split()
        for service, lines in _read("rpcs.toml").items()
        for rpc, line in lines.items()
    }
    wrong = []
    for name, who, permission, *_ in _rpcs():
        kind, *words = expected[name]
        said = {**SETTING, **FOUND}.get(name, WORDS[kind])
        permissions = [word for word in words if ":" in word]
        if not who.startswith(said) or (permissions and [permission.strip("`")] != permissions):
            wrong.append((name, expected[name], who, permission))
        if kind in {"service", "each", "holder"} and not all(word in who for word in words if ":" not in word):
            wrong.append((name, expected[name], who, permission))
    assert wrong == []


def test_roles_hold_what_the_list_by_hand_gives_them() -> None:
    head, *rows = _table("What each role may do")
    roles = [name.partition(" ")[0] for name in head[1:]]
    listed = _read("matrix.toml")
    del listed["letters"]

    shown = {row[0].strip("`"): dict(zip(roles, row[1:], strict=True)) for row in rows}

    assert shown == {resource: {role: _spaced(cells[role]) for role in roles} for resource, cells in listed.items()}


@pytest.mark.parametrize(("column", "part"), [(1, "project"), (2, "system")])
def test_robots_may_be_given_what_the_list_by_hand_says(column: int, part: str) -> None:
    _, *rows = _table("What a robot may be given")

    shown = {row[0].strip("`"): row[column] for row in rows if row[column]}

    assert shown == {resource: _spaced(letters) for resource, letters in _read("robots.toml")[part].items()}


def _rpcs() -> Iterator[list[str]]:
    for service, text in re.findall(r"^### (\w+\.v1\.\w+)\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL):
        for row in re.findall(r"^\| `.*$", text, re.MULTILINE):
            rpc, *cells = _cells(row)
            yield [f"{service}/{rpc.strip('`')}", *cells]


def _table(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [_cells(line) for line in section.splitlines() if line.startswith("|") and not line.startswith("|---")]
    assert rows
    return rows


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split("|")]


def _spaced(letters: str) -> str:
    return " ".join(sorted(letters, key="CRUDLPWXS".index))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "tests" / "access" / name).read_text(encoding="utf-8"))

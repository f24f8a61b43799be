"""The table of services is in order, and is the only place that names them all."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.check_imports import rules
from svckit.services import NAMES, PORT_COUNT, RPC_SERVICES, SERVICES, TABLE, Service, called_by
from svckit.tokens.claims import ServiceToken

ROOT = Path(__file__).parents[3]
# Names that may stand together: a rule of one kind of token, a message to a person.
FEW = 2


def test_whoever_calls_stands_before_whoever_is_called() -> None:
    places = {row.name: place for place, row in enumerate(TABLE)}

    for row in TABLE:
        for called in row.calls:
            assert places[row.name] < places[called], f"{row.name} calls {called}, which would stop before it"


@pytest.mark.parametrize("attribute", ["name", "socket", "port_offset", "contracts", "database", "module"])
def test_no_two_services_share(attribute: str) -> None:
    values = [value for row in TABLE if (value := getattr(row, attribute)) not in (None, "")]

    assert len(values) == len(set(values))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_service_that_serves_rpcs_has_a_socket_and_a_port(row: Service) -> None:
    assert (row.kind == "rpc") == bool(row.socket) == (row.port_offset is not None)
    assert row.port_offset is None or row.port_offset < PORT_COUNT
    assert re.fullmatch(r"[a-z]{1,32}", row.name), "tokens hold it as their subject"


def test_only_a_database_has_a_change_log() -> None:
    assert {row.name for row in TABLE if row.logs_changes} == {"authsvc", "metasvc"}
    assert all(row.database for row in TABLE if row.logs_changes)


@pytest.mark.parametrize("row", SERVICES.values(), ids=lambda row: row.name)
def test_what_the_row_of_a_service_names_is_there(row: Service) -> None:
    assert (ROOT / f"{row.module.replace('.', '/')}.py").is_file()
    assert (ROOT / row.package / "config.py").is_file()
    if row.contracts:
        assert list((ROOT / "protos" / row.contracts.replace(".", "/")).glob("*_service.proto"))


def test_every_package_of_a_service_has_its_row() -> None:
    packages = {path.name for path in ROOT.glob("*svc") if path.is_dir()}

    assert packages | {"gateway"} == {row.package for row in TABLE}


def test_the_gateway_calls_every_service_that_serves_rpcs() -> None:
    assert called_by("gateway") == tuple(RPC_SERVICES)
    assert called_by("metasvc") == ("authsvc", "blobsvc")


def test_every_service_may_sign_its_own_tokens() -> None:
    assert ServiceToken.signers == NAMES


def test_the_table_costs_the_supervisor_nothing() -> None:
    program = "import sys; before = set(sys.modules); import svckit.services; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)

    assert not {name.partition(".")[0] for name in loaded.stdout.split()} - {"svckit", *sys.stdlib_module_names}


def test_the_import_rules_hold_for_a_service_without_a_line_of_its_own() -> None:
    written = rules(["gateway", "authsvc", "mailsvc"])

    assert '"gateway | authsvc | mailsvc"' in written
    assert '"mailsvc.domain"' in written
    assert '"ctl", "gateway", "authsvc", "mailsvc", "svckit"' in written
    assert '"jobsvc.engine"' in rules(["gateway", "jobsvc"])
    assert "{" not in written


def test_the_page_for_operators_lists_every_socket_and_port() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    for row in TABLE:
        if row.port_offset is not None:
            port = "N" if row.port_offset == 0 else f"N+{row.port_offset}"
            name, kept = (f"{row.name} (planned)", ", kept") if row.is_planned else (row.name, "")
            line = f"| {name} | `{row.socket}` | {port}{kept} | {port}{kept} |"
            assert line in page, f"docs/operations.md, Sockets and ports, needs: {line}"
    assert f"| gateway, worker | | | N+{PORT_COUNT} and up, one for each process |" in page


def _programs() -> Iterator[Path]:
    """What is ours and runs, tests aside: they may name whom they mean. The harness starts services, so it is in."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        own_test = name.startswith("tests/") and not name.startswith("tests/harness/")
        if not own_test and not name.startswith("protos/gen/") and name != "svckit/services.py":
            yield ROOT / name


def _names_in(node: ast.AST) -> set[str]:
    """The services that a literal names, as its elements or keys."""
    match node:
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            parts = elements
        case ast.Dict(keys=keys):
            parts = [key for key in keys if key is not None]
        case _:
            return set()
    return {part.value for part in parts if isinstance(part, ast.Constant) and part.value in NAMES}


def test_nobody_lists_the_services_by_hand() -> None:
    lists = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {sorted(names)}"
        for path in _programs()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if len(names := _names_in(node)) > FEW and isinstance(node, ast.expr)
    ]

    assert not lists, "read svckit/services.py instead:\n" + "\n".join(lists)

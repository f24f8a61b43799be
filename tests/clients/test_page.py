"""docs/clients.md shows the commands that the tests run, and what the programs print when they are refused."""

import re
from pathlib import Path

import pytest

from tests.harness.registry_clients.every import CLIENTS, HEAVY_CLIENTS
from tests.harness.registry_clients.port import RegistryClient
from tests.harness.registry_clients.refusals import REFUSALS

_PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
_KINDS = (*CLIENTS, *HEAVY_CLIENTS)
_of_every_client = pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.name.replace(" ", "-"))


def _sections() -> dict[str, str]:
    """The sections of the page that are about one client."""
    part = _PAGE.read_text(encoding="utf-8").partition("\n## The clients\n")[2].partition("\n## ")[0]
    _, *sections = re.split(r"^### ", part, flags=re.MULTILINE)
    return {heading.strip(): body for heading, body in (section.split("\n", 1) for section in sections)}


def test_every_client_has_a_section() -> None:
    assert sorted(_sections()) == sorted(kind.name for kind in _KINDS)


@_of_every_client
def test_its_commands_are_those_that_the_tests_run(kind: type[RegistryClient]) -> None:
    (shown,) = re.findall(r"^```sh\n(.*?)^```$", _sections()[kind.name], re.MULTILINE | re.DOTALL)

    lines = (kind.log_in_line, *kind.push_lines, *kind.pull_lines, kind.log_out_line)
    assert shown == "".join(f"{line}\n" for line in lines if line)


@_of_every_client
def test_what_it_prints_is_what_the_tests_expect(kind: type[RegistryClient]) -> None:
    shown = re.findall(r"^\| (an? [^|]*) \| (.*) \| `(.*)` \|$", _sections()[kind.name], re.MULTILINE)

    assert shown == [
        (what, f"{refusal.about}: {refusal.status} {refusal.code}".strip(), refusal.says)
        for what, refusal in REFUSALS[kind.name].items()
    ]

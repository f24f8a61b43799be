"""What clients see of tags is linearizable: through two gateways, and two replicas of metasvc, while reads gather."""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.harness.installation import Installation
from tests.harness.linearizability.checker import check
from tests.harness.linearizability.clients import observe
from tests.harness.replicas import replicas
from tests.harness.repository import EMPTY_CONFIG, Repository, open_repository
from tests.harness.second_gateway import second_gateway
from tests.harness.workspace import Login, Workspace

OPERATIONS = 5_000


def batches(gateway: str) -> tuple[float, float]:
    """How many batches of manifests a gateway has sent, and how many reads were in them."""
    text = httpx.get(f"{gateway}/metrics", trust_env=False).text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    name = 'gateway_read_batch_members_{}{{kind="manifests"}}'
    return float(lines[name.format("count")]), float(lines[name.format("sum")])


def hold(gateways: Sequence[str], repository: Repository) -> None:
    repository.push_blob(EMPTY_CONFIG)

    history = observe(gateways, repository, OPERATIONS, seed=29)

    answered = [operation for operation in history.operations if operation.answered is not None]
    assert len(answered) > 0.97 * OPERATIONS
    assert not check(history.operations)
    for gateway in gateways:
        sent, members = batches(gateway)
        assert members > 1.5 * sent, "reads did not gather"


@pytest.mark.slow
def test_through_two_gateways(installation: Installation, workspace: Workspace) -> None:
    name = f"{workspace.project}/{secrets.token_hex(6)}"
    with ExitStack() as stack:
        [address] = stack.enter_context(second_gateway(installation, "127.0.0.1"))
        repository = stack.enter_context(open_repository(workspace.http_url, workspace.maintainer, name))
        hold([installation.http_url, f"http://{address}"], repository)


@pytest.mark.slow
def test_through_two_gateways_and_two_replicas_of_metasvc(postgres_database: str, tmp_path: Path) -> None:
    with replicas(tmp_path, postgres_database) as (first, second, password), ExitStack() as stack:
        name = f"library/{secrets.token_hex(6)}"
        repository = stack.enter_context(open_repository(first.http_url, Login("admin", password), name))
        hold([first.http_url, second.http_url], repository)

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
from tests.harness.repository import EMPTY_CONFIG, open_repository
from tests.harness.second_gateway import second_gateway
from tests.harness.workspace import Login, Workspace

OPERATIONS = 5_000
REPOSITORIES = 4


def batches(gateway: str) -> tuple[float, float]:
    """How many batches of manifests a gateway has sent, and how many reads were in them."""
    text = httpx.get(f"http://{gateway}/metrics", trust_env=False).text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    name = 'gateway_read_batch_members_{}{{kind="manifests"}}'
    return float(lines[name.format("count")]), float(lines[name.format("sum")])


def hold(gateways: Sequence[str], login: Login, project: str) -> None:
    with ExitStack() as stack:
        repositories = [
            stack.enter_context(open_repository(f"http://{gateways[0]}", login, f"{project}/{secrets.token_hex(6)}"))
            for _ in range(REPOSITORIES)
        ]
        for repository in repositories:
            repository.push_blob(EMPTY_CONFIG)
        before = [batches(gateway) for gateway in gateways]

        history = observe(gateways, repositories, OPERATIONS, seed=29)

    answered = [operation for operation in history.operations if operation.answered is not None]
    assert len(answered) > 0.9 * OPERATIONS
    assert not check(history.operations)
    for gateway, (sent_before, members_before) in zip(gateways, before, strict=True):
        sent, members = batches(gateway)
        assert members - members_before > 1.1 * (sent - sent_before), "reads did not gather"


@pytest.mark.slow
def test_through_two_gateways(installation: Installation, workspace: Workspace) -> None:
    with second_gateway(installation, "127.0.0.1") as second:
        hold([installation.host, second.addresses[0]], workspace.maintainer, workspace.project)


@pytest.mark.slow
def test_through_two_gateways_and_two_replicas_of_metasvc(postgres_database: str, tmp_path: Path) -> None:
    with replicas(tmp_path, postgres_database) as (first, second, password):
        hold([first.host, second.host], Login("admin", password), "library")

"""100,000 operations on tags, through two gateways and two replicas of metasvc: `make soak`.

SOAK_OPERATIONS (100000) and SOAK_SEED (by chance) say how.
"""

import os
import random
import secrets
import sys
from pathlib import Path

import pytest

from tests.harness.linearizability.checker import check
from tests.harness.linearizability.clients import observe
from tests.harness.replicas import replicas
from tests.harness.repository import EMPTY_CONFIG, open_repository
from tests.harness.workspace import Login

# Each round has a repository and a token of its own, because a token ends after half an hour.
_ROUND = 5_000


@pytest.mark.soak
def test_what_clients_see_of_tags_is_linearizable(
    postgres_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operations = int(os.environ.get("SOAK_OPERATIONS", "100000"))
    seed = int(os.environ.get("SOAK_SEED", random.getrandbits(32)))
    answered = 0
    with replicas(tmp_path, postgres_database) as (first, second, password):
        gateways = [first.http_url, second.http_url]
        login = Login("admin", password)
        for begin in range(0, operations, _ROUND):
            with open_repository(first.http_url, login, f"library/{secrets.token_hex(6)}") as repository:
                repository.push_blob(EMPTY_CONFIG)
                history = observe(gateways, repository, min(_ROUND, operations - begin), seed + begin)
            answered += sum(operation.answered is not None for operation in history.operations)
            violations = check(history.operations)
            assert not violations, "\n".join([f"SOAK_SEED={seed}", *map(str, violations)])
    with capsys.disabled():
        sys.stdout.write(f"\n{answered} of {operations} operations were answered, and have an order (seed {seed})\n")
    assert answered > 0.97 * operations

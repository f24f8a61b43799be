"""100,000 operations on tags, through two gateways and two replicas of metasvc: `make soak`.

SOAK_OPERATIONS (100000) and SOAK_SEED (by chance) say how.
"""

import os
import random
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.linearizability.checker import check
from tests.harness.linearizability.clients import observe
from tests.harness.replicas import replicas
from tests.harness.repository import EMPTY_CONFIG, open_repository
from tests.harness.workspace import Login

# Each round has repositories and tokens of its own, because a token ends after half an hour.
_ROUND = 5_000
_REPOSITORIES = 4


@pytest.mark.soak
def test_what_clients_see_of_tags_is_linearizable(
    postgres_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operations = int(os.environ.get("SOAK_OPERATIONS", "100000"))
    seed = int(os.environ.get("SOAK_SEED", random.getrandbits(32)))
    answered = 0
    with replicas(tmp_path, postgres_database) as (first, second, password):
        login = Login("admin", password)
        for begin in range(0, operations, _ROUND):
            with ExitStack() as stack:
                repositories = [
                    stack.enter_context(open_repository(first.http_url, login, f"library/{secrets.token_hex(6)}"))
                    for _ in range(_REPOSITORIES)
                ]
                for repository in repositories:
                    repository.push_blob(EMPTY_CONFIG)
                count = min(_ROUND, operations - begin)
                history = observe([first.host, second.host], repositories, count, seed + begin)
            answered += sum(operation.answered is not None for operation in history.operations)
            violations = check(history.operations)
            assert not violations, "\n".join([f"SOAK_SEED={seed}", *map(str, violations)])
    with capsys.disabled():
        sys.stdout.write(f"\n{answered} of {operations} operations were answered, and have an order (seed {seed})\n")
    assert answered > 0.9 * operations

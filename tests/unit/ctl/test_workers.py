"""How many gateways `roadstead up` starts unless it is told."""

import pytest

from ctl.__main__ import workers_for


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (8, 4), (64, 4)])
def test_there_is_a_gateway_for_each_two_cores_and_at_most_four(cores: int, workers: int) -> None:
    assert workers_for(cores) == workers

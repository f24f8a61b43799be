import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.ports import PortBlock, free_port, free_ports, free_ports_in_a_row

# Nobody binds them: what is tested is who holds which block.
PORTS = range(100, 300)


@pytest.fixture
def block(tmp_path: Path) -> Iterator[PortBlock]:
    with closing(PortBlock(tmp_path, range(*_some_free_ports()), block_size=20)) as block:
        yield block


def _some_free_ports() -> tuple[int, int]:
    # No other process of tests is given them as long as this one lives.
    first = free_ports_in_a_row(20)
    return first, first + 20


def test_two_processes_hold_different_blocks_and_one_that_ended_leaves_its_own(tmp_path: Path) -> None:
    one = PortBlock(tmp_path, PORTS, block_size=100)
    other = PortBlock(tmp_path, PORTS, block_size=100)
    with pytest.raises(AssertionError, match="every block of ports is held"):
        PortBlock(tmp_path, PORTS, block_size=100)

    one.close()
    PortBlock(tmp_path, PORTS, block_size=100).close()
    other.close()


def test_no_port_is_given_again_before_all_were(block: PortBlock) -> None:
    first = [block.take(1) for _ in range(20)]
    assert len(set(first)) == 20
    assert [block.take(1) for _ in range(20)] == first


def test_a_port_that_is_taken_is_left_out(block: PortBlock) -> None:
    start = block.take(1)
    with socket.create_server(("127.0.0.1", start + 2)):
        assert block.take(2) == start + 3
        assert block.take(1) == start + 5


def test_ports_in_a_row_do_not_reach_into_the_next_block(block: PortBlock) -> None:
    start = block.take(1)
    block.take(12)
    assert block.take(12) == start
    with pytest.raises(AssertionError, match="no 21 ports in a row"):
        block.take(21)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9"])
def test_a_port_of_an_address_can_be_bound(host: str) -> None:
    socket.create_server((host, free_port(host))).close()


def test_several_ports_differ() -> None:
    assert len(set(free_ports(5))) == 5

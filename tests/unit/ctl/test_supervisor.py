"""Children are kept alive, and stopped in order."""

import asyncio
import os
import signal
from collections.abc import Callable
from itertools import pairwise

import pytest

from ctl.supervisor import Backoff, Child, ChildFailed, Supervisor
from tests.unit.ctl.children import SLEEPER, STUBBORN, program
from tests.unit.ctl.conftest import LONGEST_SECONDS, QUICK, ReadableConsole

Supervise = Callable[..., Supervisor]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_that_is_killed_is_started_again(supervise: Supervise, console: ReadableConsole) -> None:
    supervisor = supervise(program("sleeper", SLEEPER))
    await console.wait_for("up")
    first = supervisor.pids["sleeper"]

    os.kill(first, signal.SIGKILL)
    log = await console.wait_for("sleeper   | up", count=2)

    assert supervisor.pids["sleeper"] != first
    assert "ended by SIGKILL" in log


async def test_the_log_says_with_what_code_a_child_ended(supervise: Supervise, console: ReadableConsole) -> None:
    supervise(program("short", "raise SystemExit(3)"))

    log = await console.wait_for("exit code 3")

    assert "child=short" in log


async def test_the_delay_grows_with_each_death_up_to_a_limit() -> None:
    backoff = Backoff(first_seconds=0.2, longest_seconds=15.0)

    delays = [backoff.seconds(exits) for exits in range(1, 200)]

    assert delays[:3] == [0.2, 0.4, 0.8]
    assert all(before <= after for before, after in pairwise(delays))
    assert delays[-1] == 15.0


async def test_a_child_that_lived_long_enough_begins_with_the_first_delay(
    supervise: Supervise, console: ReadableConsole
) -> None:
    backoff = Backoff(first_seconds=0.01, longest_seconds=1000.0, healthy_seconds=0.0)
    supervise(program("short", "raise SystemExit(3)"), backoff=backoff)

    log = await console.wait_for("starting it again", count=4)

    assert log.count("delay_seconds=0.01") == log.count("starting it again")


async def test_a_child_that_keeps_failing_at_the_start_is_given_up_with_its_last_lines(supervise: Supervise) -> None:
    failing = program("failing", "print('first', flush=True); raise SystemExit('no such setting: colour')")
    supervisor = supervise(program("sleeper", SLEEPER), failing, settled=False)

    with pytest.raises(ChildFailed) as caught:
        await asyncio.wait_for(supervisor.failure(), LONGEST_SECONDS)

    assert str(caught.value) == "failing does not start: exit code 1\n  first\n  no such setting: colour"


async def test_a_child_that_refuses_to_start_is_not_started_again(
    supervise: Supervise, console: ReadableConsole
) -> None:
    refusing = program("refusing", "print('no such setting: colour', flush=True); raise SystemExit(78)")
    supervisor = supervise(program("sleeper", SLEEPER), refusing, settled=False)

    with pytest.raises(ChildFailed) as caught:
        await asyncio.wait_for(supervisor.failure(), LONGEST_SECONDS)

    assert str(caught.value) == "refusing does not start: exit code 78\n  no such setting: colour"
    assert caught.value.status == 78
    assert console.text().count("refusing  | no such setting") == 1


async def test_once_settled_a_child_that_refuses_is_tried_again(supervise: Supervise, console: ReadableConsole) -> None:
    supervise(program("refusing", "raise SystemExit(78)"))

    await console.wait_for("starting it again", count=2)


async def test_a_child_that_fails_once_at_the_start_gets_another_try(
    supervise: Supervise, console: ReadableConsole, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mark = tmp_path_factory.mktemp("mark") / "mark"
    source = f"""
    import pathlib
    mark = pathlib.Path({str(mark)!r})
    if not mark.exists():
        mark.touch()
        raise SystemExit(1)
    """
    supervisor = supervise(program("second", source + SLEEPER), settled=False)

    await console.wait_for("up")

    assert "second" in supervisor.pids


async def test_a_program_that_is_not_there_is_given_up(supervise: Supervise) -> None:
    supervisor = supervise(Child("absent", ("/nowhere/program",), {}), settled=False)

    with pytest.raises(ChildFailed, match=r"absent does not start: cannot be run: .*No such file"):
        await asyncio.wait_for(supervisor.failure(), LONGEST_SECONDS)


async def test_a_child_that_is_not_needed_is_never_given_up(supervise: Supervise, console: ReadableConsole) -> None:
    refusing = program("refusing", "raise SystemExit(78)", is_needed=False)
    supervisor = supervise(Child("absent", ("/nowhere/program",), {}, is_needed=False), refusing, settled=False)
    failure = asyncio.create_task(supervisor.failure())

    await console.wait_for("starting it again", count=2 * QUICK.start_attempts + 2)

    assert not failure.done()
    failure.cancel()


async def test_once_settled_a_child_is_never_given_up(supervise: Supervise, console: ReadableConsole) -> None:
    supervisor = supervise(program("short", "raise SystemExit(3)"))
    failure = asyncio.create_task(supervisor.failure())

    await console.wait_for("starting it again", count=QUICK.start_attempts + 2)

    assert not failure.done()
    failure.cancel()


async def test_children_stop_rank_by_rank(supervise: Supervise, console: ReadableConsole) -> None:
    supervisor = supervise(
        program("last", SLEEPER, stop_rank=2),
        program("first", _SAYS_WHEN_IT_STOPS, stop_rank=0),
        program("middle", _SAYS_WHEN_IT_STOPS, stop_rank=1),
    )
    await console.wait_for("up", count=3)
    pids = supervisor.pids

    await asyncio.wait_for(supervisor.stop(asyncio.Event()), LONGEST_SECONDS)

    log = console.text()
    assert log.index("first     | stopping") < log.index("first     | stopped") < log.index("middle    | stopping")
    assert supervisor.pids == {}
    assert not any(is_running(pid) for pid in pids.values())


async def test_a_child_that_does_not_stop_in_time_is_killed(supervise: Supervise, console: ReadableConsole) -> None:
    supervisor = supervise(program("stubborn", STUBBORN, drain_seconds=0.1))
    await console.wait_for("up")
    pid = supervisor.pids["stubborn"]

    await asyncio.wait_for(supervisor.stop(asyncio.Event()), LONGEST_SECONDS)

    assert not is_running(pid)
    assert "killed: it did not stop in time child=stubborn" in console.text()


async def test_whoever_hurries_does_not_wait_for_the_drain(supervise: Supervise, console: ReadableConsole) -> None:
    supervisor = supervise(
        program("stubborn", STUBBORN, drain_seconds=1000.0, stop_rank=0),
        program("another", STUBBORN, drain_seconds=1000.0, stop_rank=1),
    )
    await console.wait_for("up", count=2)
    pids = supervisor.pids
    kill_now = asyncio.Event()
    stopping = asyncio.create_task(supervisor.stop(kill_now))

    kill_now.set()
    await asyncio.wait_for(stopping, LONGEST_SECONDS)

    assert not any(is_running(pid) for pid in pids.values())


async def test_a_child_that_waits_for_its_next_start_is_not_started_any_more(
    supervise: Supervise, console: ReadableConsole
) -> None:
    supervisor = supervise(program("short", "raise SystemExit(3)"), backoff=Backoff(first_seconds=1000.0))
    await console.wait_for("starting it again")

    await asyncio.wait_for(supervisor.stop(asyncio.Event()), LONGEST_SECONDS)

    assert supervisor.pids == {}


async def test_ctrl_c_on_the_terminal_does_not_reach_the_children(
    supervise: Supervise, console: ReadableConsole
) -> None:
    supervisor = supervise(program("sleeper", SLEEPER))
    await console.wait_for("up")

    assert os.getpgid(supervisor.pids["sleeper"]) != os.getpgid(0)


async def test_what_is_in_the_environment_of_a_child_does_not_show_in_its_repr() -> None:
    assert "s3cret" not in repr(program("secretive", SLEEPER, variables={"PASSWORD": "s3cret"}))


_SAYS_WHEN_IT_STOPS = """
    import signal, sys

    def stop(*_):
        print("stopping", flush=True)
        print("stopped", flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    print("up", flush=True)
    signal.pause()
"""

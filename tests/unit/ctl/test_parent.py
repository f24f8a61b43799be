"""No child outlives its supervisor, however that one ends."""

import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from ctl import parent
from ctl.parent import PARENT_VARIABLE, die_with_parent
from tests.unit.ctl.conftest import LONGEST_SECONDS

CHILD = """
    import signal, time
    from ctl.parent import die_with_parent
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    {preparation}
    die_with_parent()
    print("tied", flush=True)
    while True:
        time.sleep(60)
"""

SUPERVISOR = """
    import asyncio, os, sys
    from ctl.console import Console
    from ctl.supervisor import Child, Supervisor

    async def main():
        child = Child("child", (sys.executable, "-c", sys.argv[1]), dict(os.environ))
        supervisor = Supervisor([child], Console(2, pretty=True))
        supervisor.start()
        while not supervisor.pids:
            await asyncio.sleep(0.01)
        print(supervisor.pids["child"], flush=True)
        await supervisor.failure()

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    "preparation",
    [
        pytest.param("", id="the kernel tells it"),
        pytest.param("import sys; sys.platform = 'elsewhere'", id="the end of standard input tells it"),
    ],
)
def test_killing_the_supervisor_kills_its_children(preparation: str) -> None:
    child_source = textwrap.dedent(CHILD).format(preparation=preparation)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SUPERVISOR), child_source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stderr is not None
        child = int(supervisor.stdout.readline())
        assert "tied" in supervisor.stderr.readline()
        descriptor = os.pidfd_open(child)

        supervisor.kill()

        ended, _, _ = select.select([descriptor], [], [], LONGEST_SECONDS)
        os.close(descriptor)
        assert ended


def test_a_child_whose_supervisor_is_gone_before_it_begins_ends_at_once() -> None:
    source = "from ctl.parent import die_with_parent; die_with_parent(); print('went on')"
    environment = {**os.environ, PARENT_VARIABLE: "1"}

    result = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, check=False)

    assert result.returncode == -signal.SIGKILL
    assert result.stdout == b""


def test_a_process_without_supervisor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    monkeypatch.setattr(parent, "_ask_kernel", lambda: pytest.fail("tied to a parent that is none"))

    die_with_parent()

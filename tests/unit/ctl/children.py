"""Programs that stand in for services under a supervisor."""

import os
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from ctl.supervisor import Child


def program(name: str, source: str, *, variables: Mapping[str, str] | None = None, **others: Any) -> Child:
    """A child that runs Python source."""
    command = (sys.executable, "-c", textwrap.dedent(source))
    return Child(name, command, {**os.environ, **(variables or {})}, **others)


SLEEPER = """
    import signal, sys
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("up", flush=True)
    signal.pause()
"""
"""Says "up", and ends on SIGTERM."""

STUBBORN = """
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    while True:
        signal.pause()
"""
"""Says "up", and does not end on SIGTERM."""

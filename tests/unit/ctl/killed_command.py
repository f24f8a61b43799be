"""Commands of `roadstead` in processes of their own, each killed before one of its steps on the disk."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ctl.__main__ import main

KILLED = -signal.SIGKILL

_STEPS = ("fsync", "link", "replace", "unlink")
# A process of the server has all modules already, so that a kill costs milliseconds and not a second.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__, "ctl.keys"])


def run_until(step: int, words: Sequence[str]) -> int | None:
    """Runs a command, and kills it before the step with this number; the first is 1.

    Returns:
        its exit status, or `KILLED`.
    """
    process = _processes.Process(target=_run, args=(step, words))
    process.start()
    process.join()
    return process.exitcode


def _run(step: int, words: Sequence[str]) -> None:
    done = 0

    def killing(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return called

    for name in _STEPS:
        setattr(os, name, killing(getattr(os, name)))
    sys.exit(main(list(words)))

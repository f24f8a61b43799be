"""What a child process does so that it never outlives the supervisor, even when that one is killed with SIGKILL."""

import os
import signal
import sys
import threading

PARENT_VARIABLE = "ROADSTEAD_SUPERVISOR_PID"
"""Holds the supervisor's process id. Only children of a supervisor have it."""

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def die_with_parent() -> None:
    """Ties this process to the supervisor that started it, by SIGKILL: does nothing where there is none.

    SIGKILL and not SIGTERM: when the supervisor is gone, nobody is left who would bound a drain, while its lock on the
    data directory is free already; a new `roadstead up` must not find the old services at work. Their data
    survives it, as it survives any kill.
    """
    parent = os.environ.pop(PARENT_VARIABLE, "")
    if not parent:
        return
    if sys.platform == "linux":
        _ask_kernel()
    else:
        threading.Thread(target=_watch_standard_input, name="parent-watch", daemon=True).start()
    # It may have died before the kernel was asked.
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)


def _ask_kernel() -> None:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _watch_standard_input() -> None:
    # The supervisor holds the other end and never writes: the end of the file is the end of the supervisor.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)

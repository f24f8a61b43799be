"""Ends a child process together with its supervisor, even when the supervisor is killed with SIGKILL."""

import os
import signal
import sys
import threading

PARENT_VARIABLE = "ROADSTEAD_SUPERVISOR_PID"
"""Holds the supervisor's process id. It is set only for children of a supervisor."""

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def die_with_parent() -> None:
    """Arranges that this process gets SIGKILL when its supervisor ends. Does nothing if there is no supervisor.

    The signal is SIGKILL, not SIGTERM. When the supervisor has ended, its lock on the data directory is free, and
    nothing limits how long a drain takes. With SIGTERM, a new `roadstead up` could start beside the old services. Their
    data survives SIGKILL, as it survives any crash.
    """
    parent = os.environ.pop(PARENT_VARIABLE, "")
    if not parent:
        return
    if sys.platform == "linux":
        _ask_kernel()
    else:
        threading.Thread(target=_watch_standard_input, name="parent-watch", daemon=True).start()
    # The supervisor may have ended before this process asked for the signal.
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)


def _ask_kernel() -> None:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _watch_standard_input() -> None:
    # The supervisor holds the other end of the pipe and never writes. The pipe ends only when the supervisor does.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)

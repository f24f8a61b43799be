"""Asks a gateway whether it is there."""

import http.client
from collections.abc import Callable

from tests.harness.waiting import WAIT_SECONDS, wait_until


def answer_of(host: str, path: str = "/readyz", timeout_seconds: float = 5.0) -> int | OSError:
    """The status that a gateway says, or why it says none.

    Args:
        host: "127.0.0.1:PORT".
        path: "/readyz" for all that it needs, "/healthz" for the process itself.
        timeout_seconds: for a connection, and for an answer.
    """
    connection = http.client.HTTPConnection(host, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError as error:
        return error
    finally:
        connection.close()


def wait_for_gateway(
    host: str,
    path: str = "/readyz",
    *,
    hopeless: Callable[[], object] = lambda: None,
    log: Callable[[], str],
) -> None:
    """Waits until a gateway says 200.

    Args:
        host: "127.0.0.1:PORT".
        path: as above.
        hopeless: which process has ended; None as long as all run.
        log: what it and its services have logged.

    Raises:
        WaitedInVainError: if it does not.
    """
    wait_until(
        # One that is not there yet may have its clients wait in the queue of its socket.
        lambda: answer_of(host, path, timeout_seconds=WAIT_SECONDS),
        f"the gateway on {host}",
        wanted=lambda answer: answer == 200,
        hopeless=hopeless,
        more=log,
    )

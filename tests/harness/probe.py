"""Asks a gateway whether it is ready."""

import http.client
import ssl
from collections.abc import Callable

from tests.harness.waiting import WAIT_SECONDS, wait_until


def answer_of(
    host: str, path: str = "/readyz", timeout_seconds: float = 5.0, tls: ssl.SSLContext | None = None
) -> int | OSError:
    """The status of a gateway's answer, or why there is none.

    Args:
        host: "127.0.0.1:PORT".
        path: "/readyz" for all services, "/healthz" for the process itself.
        timeout_seconds: for a connection, and for an answer.
        tls: for a gateway that serves HTTPS.
    """
    connection: http.client.HTTPConnection
    if tls is None:
        connection = http.client.HTTPConnection(host, timeout=timeout_seconds)
    else:
        connection = http.client.HTTPSConnection(host, timeout=timeout_seconds, context=tls)
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
    failure: Callable[[], object] = lambda: None,
    log: Callable[[], str],
    tls: ssl.SSLContext | None = None,
    seconds: float = WAIT_SECONDS,
) -> None:
    """Waits until a gateway answers 200.

    Args:
        host: "127.0.0.1:PORT".
        path: as above.
        failure: which process has ended; None while all run.
        log: the log lines of it and its services.
        tls: for a gateway that serves HTTPS.
        seconds: how long to wait.

    Raises:
        WaitTimeoutError: if it does not.
    """
    wait_until(
        # Before the gateway is up, the request may wait in the queue of its socket.
        lambda: answer_of(host, path, timeout_seconds=WAIT_SECONDS, tls=tls),
        f"the gateway on {host}",
        wanted=lambda answer: answer == 200,
        seconds=seconds,
        failure=failure,
        more=log,
    )

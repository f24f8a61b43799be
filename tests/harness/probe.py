"""Asks a gateway whether it is there."""

import http.client


def answers(host: str, path: str = "/readyz", timeout_seconds: float = 5.0) -> bool:
    """Whether a gateway says 200.

    Args:
        host: "127.0.0.1:PORT".
        path: "/readyz" for all that it needs, "/healthz" for the process itself.
        timeout_seconds: for a connection, and for an answer.
    """
    connection = http.client.HTTPConnection(host, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()

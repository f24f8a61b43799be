"""For clients of plain HTTP."""

import ssl
from typing import Any

import httpx

# httpx makes a TLS context for every client and loads all trusted authorities of the machine. That takes 30 ms, longer
# than most tests. This context has no authorities.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Long, because the machine may be busy with other runs. The default of httpx is 5 s.
ANSWER_SECONDS = 60.0


def request(method: str, url: str, **more: Any) -> httpx.Response:
    """Sends one request over a connection of its own, whatever proxies the environment names.

    Args:
        method: of HTTP.
        url: with "http://".
        more: arguments of `httpx.request`, such as `auth` and `json`.
    """
    return httpx.request(method, url, verify=NO_TLS, trust_env=False, timeout=ANSWER_SECONDS, **more)


def get(url: str, **more: Any) -> httpx.Response:
    """Sends a GET, as `request` does."""
    return request("GET", url, **more)

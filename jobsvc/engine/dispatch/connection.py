"""Connects to Redis or Valkey with redis-py."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsvc.engine.dispatch.address import RedisAddress

BLOCK_SECONDS = 2.0
"""How long a read waits for a message."""

# A server that is stopped accepts connections and answers nothing. This must be longer than a read waits.
_ANSWER_SECONDS = 5.0
_CONNECT_SECONDS = 2.0


@asynccontextmanager
async def connected(address: RedisAddress) -> AsyncIterator[Redis]:
    """A client that connects with its first command. Nothing is repeated: who uses it begins anew after an error."""
    options: dict[str, Any] = {
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # With version 3, answers have other types.
        "protocol": 2,
        "decode_responses": True,
    }
    if address.is_tls:
        options |= {
            "ssl": True,
            "ssl_ca_certs": address.ca_file or None,
            "ssl_certfile": address.certificate_file or None,
            "ssl_keyfile": address.key_file or None,
        }
    login: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password or None,
        "db": address.database,
    }
    async with AsyncExitStack() as stack:
        if address.path:
            client = Redis(unix_socket_path=address.path, **options, **login)
        elif address.service:
            sentinel_login: dict[str, Any] = {
                "username": address.sentinel_username or None,
                "password": address.sentinel_password or None,
            }
            sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types for it
                address.hosts, sentinel_kwargs={**options, **sentinel_login}, **options
            )
            for each in sentinel.sentinels:
                stack.push_async_callback(each.aclose)
            client = sentinel.master_for(address.service, **login)
        else:
            [(host, port)] = address.hosts
            client = Redis(host=host, port=port, **options, **login)
        stack.push_async_callback(client.aclose)
        yield client

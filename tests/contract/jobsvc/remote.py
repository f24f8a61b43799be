"""jobsvc's own server on a unix socket, with a worker and an administrator that call it."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jobsvc.config import JobSettings
from jobsvc.server import build_server
from svckit.metrics import Metrics
from svckit.rpc import RpcChannel, RpcServer, RpcServerSettings, open_channel
from tests.contract.jobsvc.engine import Engine
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.access import Allowing


@dataclass
class Remote:
    """A running server.

    Attributes:
        server: itself.
        worker: a channel on which a worker calls for itself.
        admin: a channel without a token; `metadata` has one of a user who may do everything.
        metadata: of the administrator's calls.
    """

    server: RpcServer
    worker: RpcChannel
    admin: RpcChannel
    metadata: tuple[tuple[str, str], ...]


@asynccontextmanager
async def serving(engine: Engine) -> AsyncIterator[Remote]:
    """Serves an engine."""
    # A short path, because a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="job") as folder:
        keyring = Keyring(Path(folder) / "trust")
        address = f"unix:{folder}/job.sock"
        server = build_server(
            JobSettings(rpc=RpcServerSettings(listen=(address,))),
            engine.ports,
            checker=Allowing(),
            verifier=keyring.verifier(),
            metrics=Metrics("jobsvc"),
        )
        await server.start()
        token = keyring.identity_token()
        try:
            async with (
                open_channel(address, acting_tokens=keyring.acting_tokens("worker", "jobsvc")) as worker,
                open_channel(address) as admin,
            ):
                yield Remote(server, worker, admin, (("authorization", f"Bearer {token}"),))
        finally:
            await server.drain(0)

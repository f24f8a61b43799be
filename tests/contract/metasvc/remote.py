"""metasvc's own server on a unix socket, and callers with tokens like those of the other services."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from metasvc.clients.visible_projects import RememberedVisibleProjects
from metasvc.config import MetaSettings
from metasvc.domain.pull import PullRecorder
from metasvc.server import build_server
from metasvc.store.tables import CHANGES, change_cursors
from svckit.changes.settings import ChangeLogSettings
from svckit.metrics import Metrics
from svckit.rpc import RpcChannel, RpcServerSettings, open_channel
from svckit.sql.changes import serve_changes
from tests.contract.metasvc.world import World
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.access import Permissions


@dataclass
class Remote:
    """A running server.

    Attributes:
        address: of the server.
        channel: raises DomainError, as those of services do.
        keyring: signs for callers.
        permissions: what identity tokens may do.
        pulls: what was pulled.
    """

    address: str
    channel: RpcChannel
    keyring: Keyring
    permissions: Permissions
    pulls: PullRecorder


@asynccontextmanager
async def serving(world: World, **rpc: int) -> AsyncIterator[Remote]:
    """Serves a world; `rpc` are settings of the server."""
    # A short path, because a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="meta") as folder:
        keyring = Keyring(Path(folder) / "trust")
        permissions = Permissions()
        address = f"unix:{folder}/meta.sock"
        pulls = PullRecorder(world.store, world.clock)
        server = build_server(
            MetaSettings(rpc=RpcServerSettings.model_validate({"listen": (address,)} | rpc)),
            replace(world.ports, visible=RememberedVisibleProjects(permissions)),
            checker=permissions,
            verifier=keyring.verifier(),
            signer=keyring.signer("metasvc"),
            pulls=pulls,
            metrics=Metrics("metasvc"),
            changes=serve_changes(world.database, CHANGES, change_cursors, ChangeLogSettings(), world.clock),
        )
        await server.start()
        try:
            async with open_channel(address) as channel:
                yield Remote(address, channel, keyring, permissions, pulls)
        finally:
            await server.drain(0)

"""Puts toysvc together, and runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.toy.v1.fortune_service_pb2_grpc import add_FortuneServiceServicer_to_server
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.rpc import RpcServer
from toysvc.config import SECTION, ToySettings
from toysvc.servicers.fortune import FortuneServicer

if TYPE_CHECKING:
    from pathlib import Path


def main(config: Path | None) -> int:
    """Runs the service until SIGTERM, and gives the exit status."""
    return run_service(SECTION, ToySettings, config, serve)


async def serve(process: ServiceProcess[ToySettings]) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        StartError: it cannot.
    """
    server = RpcServer(SECTION, process.settings.rpc, verifier=process.verifier, metrics=process.metrics)
    server.add(add_FortuneServiceServicer_to_server, FortuneServicer(process.settings.ending))
    await process.serve(server)

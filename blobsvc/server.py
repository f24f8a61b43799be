"""Puts blobsvc together, and runs it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from blobsvc.config import SECTION, BlobSettings
from blobsvc.domain.ports import BlobAdmin, BlobReader, UploadWriter
from blobsvc.domain.upload import UploadLifetimes, UploadPorts, expire_uploads
from blobsvc.servicers.blob import BlobServicer
from blobsvc.servicers.upload import UploadServicer
from blobsvc.store.filesystem import FileStore
from roadstead.blob.v1.blob_service_pb2_grpc import add_BlobServiceServicer_to_server
from roadstead.blob.v1.upload_service_pb2_grpc import add_UploadServiceServicer_to_server
from svckit import keys, logging
from svckit.allocator import return_free_memory, reuse_large_blocks
from svckit.metrics import Metrics
from svckit.metrics_endpoint import metrics_endpoint
from svckit.rpc import RpcServer, serve_until_signal
from svckit.start import run_service
from svckit.tokens import RegistryToken
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle

_log = logging.get_logger(__name__)


def main(config: Path | None) -> int:
    """Run the service until SIGTERM, and give the exit status.

    Args:
        config: the TOML file; None for the environment alone.
    """
    reuse_large_blocks()
    return run_service(SECTION, BlobSettings, config, serve)


async def serve(settings: BlobSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartError: it cannot; OSError likewise.
    """
    metrics = Metrics(SECTION)
    keypair = keys.load_or_create(settings.key_file)
    trust = TrustBundle(settings.trust_dir)
    trust.publish(SECTION, keypair)
    store = await FileStore.open(
        settings.data_dir,
        metrics.registry,
        reading_threads=settings.reading_threads,
        writing_threads=settings.writing_threads,
    )
    lifetimes = UploadLifetimes(total_seconds=settings.upload_expiry_seconds, idle_seconds=settings.upload_idle_seconds)
    server = build_server(
        settings,
        metrics=metrics,
        verifier=TokenVerifier(trust, registry_audience=settings.token_service),
        signer=TokenSigner(SECTION, keypair),
        uploads=store.uploads,
        blobs=store.blobs,
        admin=store.admin,
        lifetimes=lifetimes,
    )
    chores = [
        asyncio.create_task(sweep_uploads(store.admin, lifetimes, settings.upload_sweep_seconds)),
        asyncio.create_task(return_free_memory()),
    ]
    try:
        async with metrics_endpoint(metrics, settings.metrics_listen):
            await serve_until_signal(server)
    finally:
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        store.close()


def build_server(
    settings: BlobSettings,
    *,
    metrics: Metrics,
    verifier: TokenVerifier,
    signer: TokenSigner,
    uploads: UploadWriter,
    blobs: BlobReader,
    admin: BlobAdmin,
    lifetimes: UploadLifetimes,
) -> RpcServer:
    """The server with its servicers, on any store.

    It takes registry tokens, tickets, grants and service tokens, and asks nobody what a caller may do.
    """
    server = RpcServer(SECTION, settings.rpc, verifier=verifier, metrics=metrics, caller_tokens=(RegistryToken,))
    server.add(
        add_UploadServiceServicer_to_server,
        UploadServicer(UploadPorts(uploads, signer, lifetimes), stream_idle_seconds=settings.rpc.stream_idle_seconds),
    )
    server.add(add_BlobServiceServicer_to_server, BlobServicer(blobs, admin))
    return server


async def sweep_uploads(admin: BlobAdmin, lifetimes: UploadLifetimes, every_seconds: float) -> None:
    """End uploads that have lived too long, again and again until it is cancelled."""
    while True:
        try:
            ended = await expire_uploads(admin, lifetimes, datetime.now(UTC))
            if ended:
                _log.info("uploads_expired", uploads=ended)
        except Exception:
            # A disk that is full today must not keep tomorrow's sweep from running.
            _log.exception("upload_sweep_failed")
        await asyncio.sleep(every_seconds)

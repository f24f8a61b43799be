"""Builds blobsvc and runs it."""

from functools import partial
from pathlib import Path

from prometheus_client import Gauge

from blobsvc.config import SECTION, BlobSettings
from blobsvc.domain.damage import ReadPorts
from blobsvc.domain.ports import Store
from blobsvc.domain.read_only import ReadOnlyMode
from blobsvc.domain.unlinked import UnlinkedBytes, UnlinkedLimits
from blobsvc.domain.upload import UploadLifetimes, UploadPorts
from blobsvc.servicers.blob import BlobServicer
from blobsvc.servicers.upload import UploadServicer
from blobsvc.store.filesystem import FileStore
from blobsvc.store.findings import LoggedFindings
from blobsvc.store.refusals import LoggedRefusals
from roadstead.blob.v1.blob_service_pb2_grpc import add_BlobServiceServicer_to_server
from roadstead.blob.v1.upload_service_pb2_grpc import add_UploadServiceServicer_to_server
from svckit.metrics import Metrics
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.rpc import RpcServer
from svckit.tokens import RegistryToken
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import TokenVerifier


def main(config: Path | None) -> int:
    """Run the service until SIGTERM or SIGINT. Return the exit status.

    Args:
        config: the TOML file; None to read settings from the environment only.
    """
    return run_service(SECTION, BlobSettings, config, serve, moves_bytes=True)


async def serve(process: ServiceProcess[BlobSettings]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartError: the service cannot start; also OSError.
    """
    settings = process.settings
    store = await FileStore.open(
        settings.data_dir,
        process.metrics.registry,
        expected_id=settings.store_id,
        reading_threads=settings.reading_threads,
        writing_threads=settings.writing_threads,
    )
    process.resources.callback(store.close)
    process.needs.require_files("blob store", store.examine)
    process.needs.keep_free(settings.data_dir, settings.reserved_bytes)
    lifetimes = UploadLifetimes(total_seconds=settings.upload_expiry_seconds, idle_seconds=settings.upload_idle_seconds)
    unlinked = build_unlinked(settings, process.metrics)
    process.loops.every(settings.unlinked_recount_seconds, "recount_unlinked", partial(unlinked.recount, store.admin))
    server = build_server(
        settings,
        metrics=process.metrics,
        verifier=process.verifier,
        signer=process.signer,
        store=store,
        lifetimes=lifetimes,
        unlinked=unlinked,
    )
    await process.serve(server)


def build_unlinked(settings: BlobSettings, metrics: Metrics) -> UnlinkedBytes:
    """The count of unlinked bytes, with its limits and metrics."""
    limits = UnlinkedLimits(
        project_bytes=settings.unlinked_bytes_per_project,
        subject_bytes=settings.unlinked_bytes_per_subject,
        subject_open=settings.open_uploads_per_subject,
    )
    unlinked = UnlinkedBytes(limits, LoggedRefusals(metrics.registry))
    held = Gauge("blobsvc_unlinked_bytes", "Bytes of unfinished and unlinked uploads", registry=metrics.registry)
    held.set_function(lambda: unlinked.total_bytes)
    return unlinked


def build_server(
    settings: BlobSettings,
    *,
    metrics: Metrics,
    verifier: TokenVerifier,
    signer: TokenSigner,
    store: Store,
    lifetimes: UploadLifetimes,
    unlinked: UnlinkedBytes,
) -> RpcServer:
    """The server with its servicers, on any store.

    It accepts registry tokens, tickets, grants and service tokens. These hold all rights, so no call to authsvc is
    needed.
    """
    server = RpcServer(SECTION, settings.rpc, verifier=verifier, metrics=metrics, caller_tokens=(RegistryToken,))
    server.add(
        add_UploadServiceServicer_to_server,
        UploadServicer(UploadPorts(store.uploads, signer, lifetimes, unlinked), store.admin),
    )
    reading = ReadPorts(store.blobs, store.id, signer, LoggedFindings(metrics.registry))
    read_only = ReadOnlyMode(server.set_read_only)
    server.add(
        add_BlobServiceServicer_to_server, BlobServicer(reading, store.admin, unlinked, read_only, verifier.revocations)
    )
    return server

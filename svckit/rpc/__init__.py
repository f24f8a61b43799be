"""gRPC between the services: servers that check every call against its rule, channels that pass on the caller."""

from svckit.rpc.channel import RpcChannel, open_channel
from svckit.rpc.follow import FollowedPage, Notifier, follow
from svckit.rpc.lifetime import serve_until_signal, stop_signals
from svckit.rpc.server import RpcServer
from svckit.rpc.settings import RpcServerSettings
from svckit.rpc.shield import settle_shielded, shielded
from svckit.rpc.tls import TlsSettings

__all__ = [
    "FollowedPage",
    "Notifier",
    "RpcChannel",
    "RpcServer",
    "RpcServerSettings",
    "TlsSettings",
    "follow",
    "open_channel",
    "serve_until_signal",
    "settle_shielded",
    "shielded",
    "stop_signals",
]

"""The metrics of authsvc."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter


class Counters:
    """Counts log-ins and tokens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the counters. Each label starts at 0, so that rates are right from the first event."""
        self._logins = Counter("authsvc_logins", "Log-ins by how they ended", ("result",), registry=registry)
        self._tokens = Counter("authsvc_tokens_issued", "Tokens that were signed", ("kind",), registry=registry)
        for result in ("ok", "failed"):
            self._logins.labels(result)
        for kind in ("registry", "identity"):
            self._tokens.labels(kind)

    def login(self, result: Literal["ok", "failed"]) -> None:
        """Counts a log-in."""
        self._logins.labels(result).inc()

    def token(self, kind: Literal["registry", "identity"]) -> None:
        """Counts a token."""
        self._tokens.labels(kind).inc()

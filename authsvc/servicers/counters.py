"""The metrics of authsvc."""

from typing import Literal

from prometheus_client import CollectorRegistry

from svckit.metrics import labelled_counter


class Counters:
    """Counts log-ins and tokens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the counters."""
        self._logins = labelled_counter(
            "authsvc_logins", "Log-ins by how they ended", "result", ("ok", "failed"), registry
        )
        self._tokens = labelled_counter(
            "authsvc_tokens_issued", "Tokens that were signed", "kind", ("registry", "identity"), registry
        )
        self._refresh_tokens = labelled_counter(
            "authsvc_refresh_tokens",
            "What happened to refresh tokens",
            "event",
            ("created", "used", "refused", "revoked"),
            registry,
        )

    def login(self, result: Literal["ok", "failed"]) -> None:
        """Counts a log-in."""
        self._logins.labels(result).inc()

    def token(self, kind: Literal["registry", "identity"]) -> None:
        """Counts a token."""
        self._tokens.labels(kind).inc()

    def refresh_token(self, event: Literal["created", "used", "refused", "revoked"]) -> None:
        """Counts what happened to a refresh token."""
        self._refresh_tokens.labels(event).inc()

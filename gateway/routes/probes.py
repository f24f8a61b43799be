"""Probes and metrics for operators: /healthz, /readyz, /metrics."""

from __future__ import annotations

from quart import Blueprint, Response

from gateway.clients.readiness import Readiness
from gateway.config import GatewaySettings, networks
from gateway.wire.origin import is_within
from gateway.wire.quart_app import current_request
from gateway.wire.request import GatewayRequest
from svckit.errors import NotFound
from svckit.metrics import CONTENT_TYPE, Metrics


def blueprint(settings: GatewaySettings, readiness: Readiness, metrics: Metrics) -> Blueprint:
    """The routes.

    Args:
        settings: say from which networks metrics may be read.
        readiness: asks the services for their health.
        metrics: the metrics of this process.
    """
    routes = Blueprint("probes", __name__)
    readers = networks(settings.metrics_networks)

    @routes.get("/healthz")
    async def alive() -> Response:
        """Says that this process answers. Other services do not count: a restart of this one would not help them."""
        _named_request("healthz")
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    @routes.get("/readyz")
    async def ready() -> Response:
        """Says whether all services serve. With a full disk they still do, because pulls are possible."""
        _named_request("readyz")
        states = await readiness.check()
        lines = [f"{service}: {health}\n" for service, health in states.items()]
        answer = Response("".join(lines), 200 if all(health.serves for health in states.values()) else 503)
        answer.content_type = "text/plain; charset=utf-8"
        if answer.status_code == 503:
            answer.headers["Retry-After"] = "1"
        return answer

    @routes.get("/metrics")
    async def measured() -> Response:
        """Prometheus's text. The address of the connection is checked, because anybody can write headers."""
        this = _named_request("metrics")
        if not is_within(this.peer_address, readers):
            raise NotFound
        return Response(metrics.render(), content_type=CONTENT_TYPE)

    return routes


def _named_request(route: str) -> GatewayRequest:
    this = current_request()
    this.route = route
    return this

"""GET /health: the health of the services. The status is always 200, as in Harbor; /readyz uses its status."""

from __future__ import annotations

from gateway.clients.readiness import Readiness, State
from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.transcode.contracts import PREFIX
from gateway.transcode.openapi import HandwrittenOperation
from gateway.wire.answer import Answer

_SCHEMA = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["healthy", "unhealthy"]},
        "components": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "status": {"type": "string", "enum": ["healthy", "unhealthy"]},
                    "error": {"type": "string"},
                },
            },
        },
    },
}


def route(readiness: Readiness) -> HandwrittenRoute:
    """The route. The components have the names of Roadstead's services: Harbor's clients show any names."""

    async def answer(_exchange: ApiExchange) -> Answer:
        states = await readiness.check()
        components: list[dict[str, str]] = [{"name": "gateway", "status": "healthy"}]
        for name, health in states.items():
            # Harbor has only these two statuses, and clients compare with them. So a degraded service is healthy with
            # an error. Anybody may ask, so reasons are words such as "database" and name no hosts.
            component = {"name": name, "status": _status(serves=health.serves)}
            if health.state is not State.SERVING:
                component["error"] = str(health)
            components.append(component)
        status = _status(serves=all(health.serves for health in states.values()))
        return Answer.of_json({"status": status, "components": components})

    operation = HandwrittenOperation("GET", f"{PREFIX}/health", "getHealth", "Say how the services are", _SCHEMA)
    return HandwrittenRoute(operation, answer, ignores_credentials=True)


def _status(*, serves: bool) -> str:
    return "healthy" if serves else "unhealthy"

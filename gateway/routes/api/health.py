"""GET /health: how the services are. 200 either way, as in Harbor; /readyz says it by its status."""

from __future__ import annotations

from gateway.clients.channels import Readiness
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
    """The route. Components go by the names of our services: Harbor's clients show whatever names there are."""

    async def answer(_exchange: ApiExchange) -> Answer:
        states = await readiness.check()
        components: list[dict[str, str]] = [{"name": "gateway", "status": "healthy"}]
        for name, serves in states.items():
            component = {"name": name, "status": "healthy" if serves else "unhealthy"}
            if not serves:
                # No more than that: anybody may ask, and a reason would name hosts and sockets.
                component["error"] = "not serving"
            components.append(component)
        status = "healthy" if all(states.values()) else "unhealthy"
        return Answer.of_json({"status": status, "components": components})

    operation = HandwrittenOperation("GET", f"{PREFIX}/health", "getHealth", "Say how the services are", _SCHEMA)
    return HandwrittenRoute(operation, answer, ignores_credentials=True)

"""/api/v2.0: finds the route of a request, authenticates the caller, and answers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.clients.channels import CONTRACTS, Channels, Services
from gateway.clients.readiness import Readiness
from gateway.clients.token import TokenClient
from gateway.config import GatewaySettings
from gateway.routes.api import certificate, description, health, ping, systeminfo
from gateway.routes.api.composed.projects import ProjectCompositions
from gateway.routes.api.composed.search import SearchRoute
from gateway.routes.api.composed.summary import ProjectSummaryRoute
from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.routes.api.transcoded import TranscodedRoute, caller_of
from gateway.transcode.contracts import PREFIX, read_bindings
from gateway.transcode.fields import ContractError
from gateway.transcode.route import compile_bindings
from gateway.transcode.router import PathRouter
from gateway.transcode.template import PathTemplate
from gateway.wire.answer import Answer
from gateway.wire.credentials import Basic, Bearer
from gateway.wire.origin import origin_reader
from gateway.wire.request import GatewayRequest
from svckit.access.call import serving
from svckit.configuration.reader import ConfigurationReader
from svckit.tokens.verifier import TokenVerifier

Route = TranscodedRoute | HandwrittenRoute


class ApiSurface:
    """Answers everything under /api/v2.0. The app turns its errors into Harbor's form.

    Attributes:
        prefix: the prefix of its paths.
        routes: all routes.
    """

    prefix = PREFIX

    def __init__(
        self,
        settings: GatewaySettings,
        channels: Channels,
        services: Services,
        readiness: Readiness,
        configuration: ConfigurationReader,
        verifier: TokenVerifier,
    ) -> None:
        """Compiles the contracts and puts the routes together.

        Args:
            settings: the settings of the gateway.
            channels: the channels to the services.
            services: the clients of the services.
            readiness: asks the services for their health.
            configuration: the runtime configuration.
            verifier: verifies identity tokens on routes that call no service.

        Raises:
            ContractError: a contract cannot be served.
        """
        self._tokens: TokenClient = services.tokens
        self._origins = origin_reader(settings)
        self._request_seconds = settings.limits.request_seconds
        transcoded = _transcoded(settings, channels)
        by_hand = [
            ping.ROUTE,
            health.route(readiness),
            systeminfo.route(settings, configuration, verifier),
            certificate.route(settings),
            ProjectSummaryRoute(channels["authsvc"], channels["metasvc"], configuration).route,
            SearchRoute(channels["authsvc"], channels["metasvc"]).route,
        ]
        by_hand.append(description.route([route.rpc for route in transcoded], by_hand))
        self.routes: Sequence[Route] = (*transcoded, *by_hand)
        self._router: PathRouter[Route] = PathRouter()
        for route in self.routes:
            template = (
                route.rpc.binding.template if isinstance(route, TranscodedRoute) else PathTemplate.parse(route.path)
            )
            self._router.add(route.method, template, route)

    async def __call__(self, request: GatewayRequest) -> Answer:
        """Answers one request.

        Raises:
            DomainError: the request is refused or has failed.
        """
        route, variables = self.find(request.method, request.raw_target)
        request.route = route.path
        origin = request.read_origin(self._origins)
        call = request.call(None, origin, time.monotonic() + self._request_seconds)
        with serving(call):
            if not route.ignores_credentials:
                call.token = await self._token(request)
            return await route.answer(ApiExchange(request, variables, origin, call))

    def find(self, method: str, raw_path: str) -> tuple[Route, list[str]]:
        """The route of a request, and the values of its variables.

        Raises:
            DomainError: NOT_FOUND, UNSUPPORTED, or BAD_REQUEST for a path that cannot be decoded.
        """
        return self._router.find(method, raw_path)

    async def _token(self, request: GatewayRequest) -> str | None:
        """The caller's identity token: made from a name and a secret, or as the caller sent it; None without either."""
        match request.credentials:
            case Basic() as credentials:
                issued = await self._tokens.create_identity_token(credentials)
                request.visit.identify(issued.text)
                return issued.text
            case Bearer(token):
                # The service that is called verifies it.
                return token
        return None


def _transcoded(settings: GatewaySettings, channels: Channels) -> list[TranscodedRoute]:
    by_package = {package.__name__: channels[service] for service, package in CONTRACTS.items()}
    compositions = ProjectCompositions(channels["authsvc"], channels["metasvc"]).by_rpc()
    routes: list[TranscodedRoute] = []
    for rpc in compile_bindings(read_bindings(CONTRACTS.values())):
        call = caller_of(rpc, by_package)
        if rpc.binding.extras.composed:
            if rpc.binding.rpc_path not in compositions:
                raise ContractError(f"{rpc.binding.rpc.full_name} is declared as composed, but no code composes it")
            call = compositions[rpc.binding.rpc_path]
        routes.append(TranscodedRoute(rpc, call, settings.limits.json_bytes))
    return routes

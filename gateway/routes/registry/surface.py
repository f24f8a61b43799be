"""/v2: the distribution spec, and Docker's additions to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.clients.channels import Services
from gateway.config import GatewaySettings
from gateway.routes.registry import base, blobs, catalog, manifests, referrers, tags, uploads
from gateway.routes.registry.exchange import ChallengeNeeded, Exchange
from gateway.routes.registry.paths import METHODS, PREFIX, Target, parse_target
from gateway.wire.answer import API_VERSION, Answer
from gateway.wire.challenge import Challenger
from gateway.wire.credentials import Bearer
from gateway.wire.errors import oci_error
from gateway.wire.origin import origin_reader
from gateway.wire.request import GatewayRequest
from svckit.access.call import enter_call
from svckit.errors import DomainError, error_for
from svckit.logging import get_logger
from svckit.tokens.verifier import TokenVerifier

log = get_logger(__name__)

Route = Callable[[Exchange], Awaitable[Answer]]


class RegistrySurface:
    """Answers everything under /v2."""

    prefix = PREFIX

    def __init__(self, settings: GatewaySettings, services: Services, verifier: TokenVerifier) -> None:
        """Puts the routes together.

        Args:
            settings: the settings of the gateway.
            services: the clients of the services.
            verifier: verifies upload tickets, and the token at /v2/ itself, where no service is called.
        """
        limits = settings.limits
        self._services = services
        self._origins = origin_reader(settings)
        self._challenger = Challenger(settings.token_service, settings.token_path, settings.external_url)
        self._request_seconds = limits.request_seconds
        uploading = uploads.UploadRoute(verifier, limits.commit_seconds)
        self._routes: Mapping[str, Route] = {
            "v2.base": base.BaseRoute(verifier).answer,
            "v2.catalog": catalog.answer,
            "v2.manifest": manifests.ManifestRoute(settings.manifest_max_bytes, limits.tags_per_manifest).answer,
            "v2.blob": blobs.BlobRoute(limits.ranges).answer,
            "v2.uploads": uploading.begin,
            "v2.upload": uploading.continue_session,
            "v2.tags": tags.answer,
            "v2.referrers": referrers.answer,
        }

    async def __call__(self, request: GatewayRequest) -> Answer:
        """Answers one request, errors included."""
        try:
            target = parse_target(request.raw_target)
        except DomainError as error:
            answer = oci_error(error)
        else:
            answer = await self._answer(request, target)
        answer.headers.append(API_VERSION)
        return answer

    async def _answer(self, request: GatewayRequest, target: Target) -> Answer:
        request.route = target.route
        origin = request.read_origin(self._origins)
        call = request.call(None, origin, None)
        exchange = Exchange(request, target, origin, self._services, call)
        exchange.set_timeout(self._request_seconds)
        # The call stays set until the task ends, because a streamed body calls services, too. The task serves only this
        # request.
        enter_call(call)
        try:
            if request.method not in METHODS[target.route]:
                raise error_for("UNSUPPORTED", metadata={"allow": ", ".join(METHODS[target.route])})
            return await self._routes[target.route](exchange)
        except DomainError as error:
            return self._refuse(exchange, error)

    def _refuse(self, exchange: Exchange, error: DomainError) -> Answer:
        answer = oci_error(error)
        if error.reason == "UNSUPPORTED" and "allow" not in error.metadata:
            # A service has refused the method. The other methods of the route are allowed.
            others = [name for name in METHODS[exchange.target.route] if name != exchange.request.method]
            answer.headers.append(("Allow", ", ".join(others)))
        if error.reason == "INTERNAL":
            log.error("internal error", route=exchange.target.route, exc_info=error)
        if answer.status == 401:
            oauth_error = "" if isinstance(error, ChallengeNeeded) else _oauth_error(exchange.request, error)
            challenge = self._challenger.bearer(exchange.origin, exchange.scopes, oauth_error)
            answer.headers.append(("WWW-Authenticate", challenge))
        return answer


def _oauth_error(request: GatewayRequest, error: DomainError) -> str:
    """The error code of RFC 6750; empty if the client sent no token."""
    try:
        sent_token = isinstance(request.credentials, Bearer)
    except DomainError:
        return "invalid_token"
    if not sent_token:
        return ""
    return "insufficient_scope" if error.reason == "INSUFFICIENT_SCOPE" else "invalid_token"

"""The runtime configuration."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from authsvc.convert import to_requester
from authsvc.domain.configuration import ConfigurationChange
from authsvc.domain.configuration_change import get_configuration, update_configuration
from roadstead.auth.v1 import configuration_pb2
from roadstead.auth.v1 import configuration_service_pb2 as pb
from roadstead.auth.v1.configuration_service_pb2_grpc import ConfigurationServiceServicer
from svckit.access.call import current_call
from svckit.configuration.values import Configuration

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.domain.configuration import ConfigurationState

    Context = grpc.aio.ServicerContext[Any, Any]

# The contract and the values have the same names; a test compares them.
_KEYS = tuple(key.name for key in fields(Configuration))


class ConfigurationServicer(ConfigurationServiceServicer):
    """Serves `roadstead.auth.v1.ConfigurationService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def GetConfigurations(
        self, request: pb.GetConfigurationsRequest, context: Context
    ) -> pb.GetConfigurationsResponse:
        state = await get_configuration(self._ports)
        return pb.GetConfigurationsResponse(configurations=_from_state(state), etag=state.etag)

    async def UpdateConfigurations(
        self, request: pb.UpdateConfigurationsRequest, context: Context
    ) -> pb.UpdateConfigurationsResponse:
        state = await update_configuration(self._ports, to_requester(current_call()), _to_change(request))
        return pb.UpdateConfigurationsResponse(configurations=_from_state(state), etag=state.etag)

    async def GetInternalConfigurations(
        self, request: pb.GetInternalConfigurationsRequest, context: Context
    ) -> pb.GetInternalConfigurationsResponse:
        return pb.GetInternalConfigurationsResponse(configurations=_from_state(await get_configuration(self._ports)))

    async def ReadConfigurations(
        self, request: pb.ReadConfigurationsRequest, context: Context
    ) -> pb.ReadConfigurationsResponse:
        return pb.ReadConfigurationsResponse(configurations=_from_state(await get_configuration(self._ports)))


def _to_change(request: pb.UpdateConfigurationsRequest) -> ConfigurationChange:
    stated = {field.name for field, _ in request.ListFields()}
    return ConfigurationChange.parse({name: getattr(request, name) for name in _KEYS if name in stated}, request.etag)


def _from_state(state: ConfigurationState) -> configuration_pb2.Configurations:
    message = configuration_pb2.Configurations()
    for name in _KEYS:
        item = getattr(message, name)
        item.value = getattr(state.values, name)
        item.editable = state.is_editable(name)
        # An item with the values of proto3 would count as unset.
        item.SetInParent()
    return message

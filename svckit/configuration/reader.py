"""Reads the runtime configuration from authsvc, again and again."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from roadstead.auth.v1 import configuration_service_pb2, configuration_service_pb2_grpc
from svckit.configuration.values import Configuration
from svckit.first_answer import FirstAnswer
from svckit.logging import get_logger

if TYPE_CHECKING:
    import grpc.aio

    from roadstead.auth.v1.configuration_pb2 import Configurations
    from roadstead.auth.v1.configuration_service_pb2_grpc import ConfigurationServiceAsyncStub

REFRESH_SECONDS = 2.0
"""The pause between two reads: a change takes effect everywhere within five seconds."""

_log = get_logger(__name__)


class ConfigurationReader:
    """The runtime configuration as this process knows it. While authsvc is away, it stays as it is.

    Attributes:
        values: the values of the last read; Harbor's defaults before the first one.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes a channel to authsvc on which this service may read the configuration."""
        self._stub: ConfigurationServiceAsyncStub = configuration_service_pb2_grpc.ConfigurationServiceStub(channel)
        self.values = Configuration()
        self._first_answer = FirstAnswer("the configuration")

    @property
    def is_known(self) -> bool:
        """Whether authsvc has answered since this process began."""
        return self._first_answer.has_come

    async def refresh(self) -> None:
        """Reads the values. `svckit.process.loops` repeats this every `REFRESH_SECONDS`.

        Raises:
            DomainError: UNAVAILABLE; the values stay as they are.
        """
        request = configuration_service_pb2.ReadConfigurationsRequest()
        answer = await self._stub.ReadConfigurations(request, timeout=self._first_answer.timeout_seconds)
        values = to_configuration(answer.configurations)
        if values != self.values:
            _log.info("configuration_changed", keys=changed_keys(self.values, values))
        self.values = values
        self._first_answer.note()

    async def require_known(self) -> None:
        """Waits a moment for the first answer of authsvc: the check of a service that must not serve before (`Needs`).

        Raises:
            DomainError: UNAVAILABLE; it has not come.
        """
        await self._first_answer.require()


def to_configuration(message: Configurations) -> Configuration:
    """The values of a message. A key that an older authsvc does not know has its default."""
    return Configuration(
        **{
            key.name: getattr(message, key.name).value
            for key in fields(Configuration)
            if message.HasField(key.name)  # type: ignore[arg-type]  # the names of both are the same; a test compares
        }
    )


def changed_keys(before: Configuration, after: Configuration) -> list[str]:
    """The names of the values that differ."""
    return [key.name for key in fields(Configuration) if getattr(before, key.name) != getattr(after, key.name)]

"""The runtime configuration: which values are in effect, and which may be set.

A value comes from the settings of authsvc, which fix it; else from the database, where administrators set it; else it
is Harbor's default.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from svckit.configuration.values import Configuration
from svckit.errors import FieldViolation, Invalid
from svckit.logging import get_logger

if TYPE_CHECKING:
    from authsvc.domain.rows import Store

_log = get_logger(__name__)

Value: TypeAlias = bool | int | str
Values: TypeAlias = Mapping[str, Value]
"""Values by their names, which are those of `Configuration`."""

ROBOT_NAME_PREFIX_PATTERN = r"[^\s:+/]{1,32}"
"""Basic credentials end a name at `:`, and `+` and `/` are between the parts of names of robots and repositories."""

# There is one way to log in, so there is nothing to choose.
_NEVER_EDITABLE = frozenset({"auth_mode"})
_TYPES: Mapping[str, type] = MappingProxyType({key.name: type(key.default) for key in fields(Configuration)})
_PREFIX = re.compile(ROBOT_NAME_PREFIX_PATTERN)


@dataclass(frozen=True, slots=True)
class ConfigurationState:
    """The values in effect, and those of them that the settings fix.

    Attributes:
        values: the values in effect.
        fixed: the names of the values that the settings of authsvc fix.
    """

    values: Configuration
    fixed: frozenset[str] = frozenset()

    @property
    def etag(self) -> str:
        """Differs as soon as a value does."""
        return hashlib.sha256(json.dumps(asdict(self.values), sort_keys=True).encode()).hexdigest()[:32]

    def is_editable(self, name: str) -> bool:
        """Whether an administrator may change the value of this name."""
        return name not in self.fixed and name not in _NEVER_EDITABLE


class RuntimeConfiguration:
    """The configuration as this process knows it. `refresh` reads it from the database, where a replica may change it.

    Attributes:
        state: the values in effect, and which of them are fixed.
    """

    def __init__(self, fixed: Values = MappingProxyType({})) -> None:
        """Takes the values that the settings fix."""
        self._fixed: dict[str, Any] = dict(fixed)
        self.state = ConfigurationState(replace(Configuration(), **self._fixed), frozenset(fixed))

    @property
    def values(self) -> Configuration:
        """The values in effect."""
        return self.state.values

    def combine(self, stored: Values) -> ConfigurationState:
        """The state with these values in the database.

        A stored value that this program does not know, or that has another type here, counts as not stored: a newer
        program may have written it.
        """
        known: dict[str, Any] = {name: value for name, value in stored.items() if type(value) is _TYPES.get(name)}
        return replace(self.state, values=replace(Configuration(), **{**known, **self._fixed}))


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """What to change.

    Attributes:
        values: the values to write; the others stay.
        etag: the etag of the state that was read; empty to change any state.
    """

    values: Values = field(default_factory=dict)
    etag: str = ""

    @classmethod
    def parse(cls, values: Values, etag: str) -> ConfigurationChange:
        """Reads a request. Types and ranges are bounds of the contract.

        Raises:
            DomainError: BAD_REQUEST.
        """
        wanted = dict(values)
        prefix = wanted.get("robot_name_prefix")
        if isinstance(prefix, str):
            # As Harbor does, which trims it.
            wanted["robot_name_prefix"] = prefix = prefix.strip()
            if not _PREFIX.fullmatch(prefix) or not prefix.isprintable():
                _refuse("robot_name_prefix", "must have 1 to 32 characters, without white space, `:`, `+` and `/`")
        if wanted.get("storage_per_project_bytes") == 0:
            _refuse("storage_per_project_bytes", "must be -1 or more than 0")
        return cls(wanted, etag)


async def refresh(store: Store, configuration: RuntimeConfiguration) -> ConfigurationState:
    """Reads the configuration from the database, and lets this process know it.

    Raises:
        DomainError: UNAVAILABLE.
    """
    known = configuration.state
    async with store.read(short=True) as unit:
        found = configuration.combine(await unit.configuration.read())
    # Otherwise an update has ended meanwhile, and this read may not have seen it. The next one does.
    if configuration.state is known and found != known:
        configuration.state = found
    return found


async def warn_of_taken_prefix(store: Store, configuration: RuntimeConfiguration) -> None:
    """Logs a warning if the name of a user begins with the prefix of robots.

    No request leads to this, but settings do: users are older than a prefix that is fixed, or have been created while
    another one was. The service starts all the same, because otherwise nobody could delete these users.
    """
    prefix = configuration.values.robot_name_prefix
    async with store.read() as unit:
        username = await unit.users.name_that_begins_with(prefix)
    if username is not None:
        _log.warning(
            "robot_name_prefix_taken",
            prefix=prefix,
            username=username,
            advice="a robot of the same name would log in instead of this user: set another "
            "authsvc.configuration.robot_name_prefix, or delete the users whose names begin with it",
        )


def _refuse(name: str, description: str) -> NoReturn:
    # Clients of REST know some fields by other names, and only those in violations are translated.
    raise Invalid(message="invalid request", violations=[FieldViolation(name, description)])

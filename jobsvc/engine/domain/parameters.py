"""The parameters that a kind takes, with their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsvc.engine.domain.kind import Parameters

_NAMES = {bool: "true or false", int: "a whole number that is not negative"}


def takes(**defaults: bool | int) -> Callable[[Parameters], Parameters]:
    """What checks the parameters of a kind: each has the type of its default, and no others are known.

    Args:
        defaults: the value of each parameter that is left out.

    Returns:
        A function that returns all parameters, and raises BAD_REQUEST for unknown ones and for other types.
    """

    def check(parameters: Parameters) -> Parameters:
        for name, value in parameters.items():
            if name not in defaults:
                known = ", ".join(sorted(defaults))
                raise Invalid.of_field(f"parameters.{name}", f"is not known to this kind, which takes {known}")
            wanted = type(defaults[name])
            # In Python, bool is a subclass of int; in JSON it is not.
            if type(value) is not wanted or value < 0:
                raise Invalid.of_field(f"parameters.{name}", f"must be {_NAMES[wanted]}")
        return {**defaults, **parameters}

    return check

"""The bounds of request fields, as the contracts declare them (`roadstead.options.v1.bounds`).

`read` turns the option into plain data and refuses wrong bounds. `check` compiles the checks that a server runs on each
request. The gateway's OpenAPI description uses the same data.
"""

from svckit.bounds.check import RequestCheck, request_check
from svckit.bounds.read import BoundsError, FieldBounds, is_required, read_bounds

__all__ = ["BoundsError", "FieldBounds", "RequestCheck", "is_required", "read_bounds", "request_check"]

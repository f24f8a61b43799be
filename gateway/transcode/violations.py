"""Names the fields in a service's errors as the JSON of the request does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.transcode.fields import json_name, listed_field
from svckit.errors import FieldViolation

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

    from svckit.errors import DomainError

# "permissions[0].access[1].resource": names, each with an index or a key.
_STEP = re.compile(r"(\w+)((?:\[[^\]]*\])?)(\.|$)")


def with_json_names(request: Descriptor, error: DomainError) -> DomainError:
    """The error with JSON names in its violations; the same error if it has none.

    Args:
        request: the type of the request.
        error: the error of a service.
    """
    if not error.violations:
        return error
    return error.copy([FieldViolation(json_path(request, each.field), each.description) for each in error.violations])


def json_path(descriptor: Descriptor, path: str) -> str:
    """Replaces the contract's names in a path by JSON names. The part after an unknown name is not changed."""
    here: Descriptor | None = descriptor
    # The list that JSON has in place of the message that contains it.
    listed: FieldDescriptor | None = None
    written, end = "", 0
    for step in _STEP.finditer(path):
        field = None if here is None or step.start() != end else here.fields_by_name.get(step[1])
        if field is None:
            break
        written = written.removesuffix(".") if field == listed else written + json_name(field)
        written, end = written + step[2] + step[3], step.end()
        here, listed = field.message_type, listed_field(field)
    return written + path[end:]

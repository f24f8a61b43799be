"""Questions about protobuf fields that their descriptors do not answer directly."""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor

INTEGERS = frozenset(
    {
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED32,
        FieldDescriptor.TYPE_SFIXED64,
    }
)
"""The integer types."""


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return bool(field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry)


def map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Key and value of a map.

    Raises:
        TypeError: the field is not a map.
    """
    entry = field.message_type
    if entry is None:
        raise TypeError(f"{field.full_name} is not a map")
    return entry.fields_by_name["key"], entry.fields_by_name["value"]

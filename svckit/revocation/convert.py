"""Converts between the message `roadstead.auth.v1.Revocation` and the type."""

from __future__ import annotations

from datetime import UTC

from roadstead.auth.v1 import revocation_pb2
from svckit.convert import from_time
from svckit.tokens.revocation import Loss, Revocation


def from_revocation(revocation: Revocation) -> revocation_pb2.Revocation:
    """Writes a revocation."""
    return revocation_pb2.Revocation(
        revision=revocation.revision,
        time=from_time(revocation.time),
        subjects=revocation.loss.subjects,
        project_ids=revocation.loss.project_ids,
    )


def to_revocation(message: revocation_pb2.Revocation) -> Revocation:
    """Reads a revocation."""
    return Revocation(
        revision=message.revision,
        time=message.time.ToDatetime(tzinfo=UTC),
        loss=Loss(tuple(message.subjects), tuple(message.project_ids)),
    )

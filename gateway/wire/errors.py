"""Errors as HTTP: the one place that turns a reason into a status and a body.

Under /v2 the codes are those of the distribution spec, under /api/v2.0 those of Harbor. Both bodies have the form
`{"errors": [{"code": …, "message": …}]}`. The table of reasons is `svckit.errors.REASONS`.
"""

from __future__ import annotations

import json
import math

from gateway.wire.answer import API_VERSION, IS_JSON, Answer
from svckit.errors import DomainError


def oci_error(error: DomainError) -> Answer:
    """The error as the distribution spec writes it, for /v2 and the token service.

    A 401 also needs a challenge. The caller adds it, because it depends on the route (`gateway.wire.challenge`).
    """
    entry: dict[str, object] = {"code": error.entry.oci_code, "message": _message(error)}
    if error.metadata and not error.entry.hides_message:
        entry["detail"] = dict(error.metadata)
    return _answer(error, entry)


def oauth_error(error: DomainError, code: str) -> Answer:
    """The error as OAuth2 writes it (RFC 6749, section 5.2), in one document with what the distribution spec writes.

    Docker, containerd, oras and crane read the latter, libraries for OAuth2 the former. Each ignores the other.
    """
    answer = oci_error(error)
    # The RFC allows printable ASCII without quotes and backslashes.
    description = "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "?" for letter in _message(error))
    document = {"error": code, "error_description": description, **json.loads(answer.whole_body)}
    return Answer(answer.status, answer.headers, _dumped(document))


def rest_error(error: DomainError) -> Answer:
    """The error as Harbor writes it, for /api/v2.0. A 401 has no challenge: a browser would open a log-in dialogue."""
    return _answer(error, {"code": error.entry.rest_code, "message": _message(error)})


def error_for_path(path: str, error: DomainError) -> Answer:
    """The error in the form that belongs to a path. For errors that occur before a route is found."""
    if path == "/v2" or path.startswith("/v2/"):
        answer = oci_error(error)
        answer.headers.append(API_VERSION)
        return answer
    return rest_error(error)


def _message(error: DomainError) -> str:
    """The text, followed by the field violations that the text does not contain already."""
    message = error.public_message
    if error.entry.hides_message:
        return message
    missing = [violation for violation in error.violations if violation.description not in message]
    details = "; ".join(f"{violation.field}: {violation.description}" for violation in missing)
    return f"{message}: {details}" if details else message


def _dumped(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _answer(error: DomainError, entry: dict[str, object]) -> Answer:
    body = _dumped({"errors": [entry]})
    headers = [IS_JSON]
    status = error.entry.http_status
    if status == 405 and "allow" in error.metadata:
        headers.append(("Allow", error.metadata["allow"]))
    if error.retry_after_seconds is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after_seconds)))))
    elif status in {429, 503}:
        headers.append(("Retry-After", "1"))
    return Answer(status, headers, body)

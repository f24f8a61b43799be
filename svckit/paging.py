"""Page sizes, and the opaque tokens that continue a list (keyset order, google.aip.dev/158).

A token contains the sort values of the last row that was shown. It gives no rights: access is checked again on each
page. So it is not signed. It is only bound to its query, and its values are checked by type.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, Self

from svckit.bounded_json import read_json
from svckit.errors import FieldViolation, Invalid

KeysetValue = str | int | bool | datetime | None

_VERSION = 1
_MAXIMUM_TOKEN_CHARACTERS = 4096
_MAXIMUM_INTEGER = 2**63 - 1
_CHECK_BYTES = 9
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def clamp_page_size(requested: int, default: int, maximum: int) -> int:
    """The number of rows on a page: the requested number, or the default for 0, but at most the maximum."""
    return min(requested or default, maximum)


def query_fingerprint(*parts: object) -> str:
    """The hash that binds a token to its query.

    Args:
        parts: everything that decides which rows are listed and in which order: the parent, the filter, the sort.
            Strings, numbers, booleans, None, and lists or tuples of these.
    """
    text = json.dumps(parts, separators=(",", ":"), default=_refuse_part)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PageToken:
    """The position at which a list is continued.

    Attributes:
        values: the values of the sort columns in the last row that was shown.
    """

    values: tuple[KeysetValue, ...]

    def encode(self, fingerprint: str) -> str:
        """The token as text, for the query with this fingerprint.

        Raises:
            TypeError: a value has a type that is not possible in a token.
        """
        body = _json([_VERSION, [_to_json(value) for value in self.values]])
        return base64.urlsafe_b64encode(_check(fingerprint, body) + body).rstrip(b"=").decode("ascii")

    @classmethod
    def decode(cls, text: str, fingerprint: str, types: Sequence[type]) -> Self:
        """Reads a token back.

        Args:
            text: the text that the caller sent; not empty.
            fingerprint: the fingerprint of the caller's query.
            types: the types of the values, in order: str, int, bool, datetime. Each value may be None as well.

        Raises:
            Invalid: INVALID_PAGE_TOKEN if the token is not for this query, or was changed.
        """
        if len(text) > _MAXIMUM_TOKEN_CHARACTERS:
            _refuse()
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            _refuse()
        check, body = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
        if check != _check(fingerprint, body):
            _refuse()
        # The check is not a signature: anybody can compute it. So the types are checked before the values are used in a
        # query.
        try:
            version, values = read_json(body)
        except (ValueError, TypeError):
            _refuse()
        if version != _VERSION or not isinstance(values, list) or len(values) != len(types):
            _refuse()
        return cls(values=tuple(_from_json(value, kind) for value, kind in zip(values, types, strict=True)))


def _check(fingerprint: str, body: bytes) -> bytes:
    return hashlib.sha256(fingerprint.encode() + b"\0" + body).digest()[:_CHECK_BYTES]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _to_json(value: KeysetValue) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if value is None or isinstance(value, str | bool):
        return value
    if type(value) is int and abs(value) <= _MAXIMUM_INTEGER:
        return value
    raise TypeError(f"a page token cannot hold {type(value).__name__}")


def _from_json(value: object, kind: type) -> KeysetValue:
    if value is None:
        return None
    if kind is datetime and isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo is not None else _refuse()
        except (ValueError, OverflowError):
            _refuse()
    # In Python, bool is a subclass of int; in a database it is not.
    if type(value) is not kind or (isinstance(value, int) and abs(value) > _MAXIMUM_INTEGER):
        _refuse()
    if isinstance(value, str):
        # U+0000 and lone surrogates are possible in JSON, but not in a database.
        return _refuse() if _UNSTORABLE.search(value) else value
    return value if isinstance(value, int) else _refuse()


def _refuse() -> NoReturn:
    raise Invalid(
        "INVALID_PAGE_TOKEN",
        violations=[FieldViolation(field="page_token", description="was not given for this query")],
    ) from None


def _refuse_part(part: object) -> NoReturn:
    raise TypeError(f"a fingerprint cannot hold {type(part).__name__}")

"""The exceptions that carry a reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol, Self

from svckit.errors.reasons import REASONS, Reason


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request.

    Attributes:
        field: path of the field in the request, as the contract names it: `page_size`, `project.name`.
        description: what is wrong with it, for people.
    """

    field: str
    description: str


class DomainError(Exception):
    """An error that is shown to the caller: a reason from `REASONS`, a text for people, and data for programs.

    Attributes:
        reason: a key of `REASONS`.
        entry: the record of that reason.
        message: the text for people; by default the text of the record. The caller sees all of it, unless
            `entry.hides_message` is set.
        metadata: data for programs, such as `scope` or `committed_size`. Never a secret.
        retry_after_seconds: when to try again; None if a retry cannot help.
        violations: the wrong fields of the request.
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        reason: Reason | str | None = None,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        """Builds the error.

        Raises:
            KeyError: there is no such reason.
        """
        key = self.default_reason if reason is None else reason
        self.entry: Reason = key if isinstance(key, Reason) else REASONS[key]
        self.reason: str = self.entry.name
        self.message: str = message or self.entry.text
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.retry_after_seconds: float | None = (
            self.entry.retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )
        self.violations: tuple[FieldViolation, ...] = tuple(violations)
        super().__init__(self.message)

    def copy(self, violations: Sequence[FieldViolation] | None = None) -> "DomainError":
        """The same error once more, with other violations if they are given.

        An exception must not be raised in two tasks: each adds its frames to it.
        """
        return error_for(
            self.entry,
            self.message,
            metadata=self.metadata,
            retry_after_seconds=self.retry_after_seconds,
            violations=self.violations if violations is None else violations,
        )

    @property
    def public_message(self) -> str:
        """The text that the caller may see."""
        return self.entry.text if self.entry.hides_message else self.message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reason!r}, {self.message!r})"


class NotFound(DomainError):
    """The object does not exist, or the caller must not know that it exists."""

    default_reason = "NOT_FOUND"


class Denied(DomainError):
    """The caller is known, and is not allowed to do this."""

    default_reason = "FORBIDDEN"


class Unauthenticated(DomainError):
    """There are no credentials, or they are not valid here."""

    default_reason = "UNAUTHORIZED"


class Conflict(DomainError):
    """The object exists already, or another writer was first."""

    default_reason = "CONFLICT"


class Invalid(DomainError):
    """The request itself is wrong."""

    default_reason = "BAD_REQUEST"

    @classmethod
    def of_field(cls, field: str, description: str) -> Self:
        """One field of the request is wrong. Both stand in the text and in the violation: "name must not be empty"."""
        return cls(message=f"{field} {description}", violations=[FieldViolation(field, description)])


class Precondition(DomainError):
    """The request is well formed, but the current state does not allow it."""

    default_reason = "PRECONDITION"


class Unavailable(DomainError):
    """The request is fine. The caller may try again after `retry_after_seconds`."""

    default_reason = "UNAVAILABLE"


_CLASS_OF_CODE: Mapping[str, type[DomainError]] = {
    "NOT_FOUND": NotFound,
    "PERMISSION_DENIED": Denied,
    "UNAUTHENTICATED": Unauthenticated,
    "ALREADY_EXISTS": Conflict,
    "ABORTED": Conflict,
    "INVALID_ARGUMENT": Invalid,
    "OUT_OF_RANGE": Invalid,
    "FAILED_PRECONDITION": Precondition,
    "UNAVAILABLE": Unavailable,
}


def error_for(
    reason: Reason | str,
    message: str | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    retry_after_seconds: float | None = None,
    violations: Sequence[FieldViolation] = (),
) -> DomainError:
    """Builds the error for a reason that is only known at run time, as the subclass for its gRPC code.

    So `except NotFound` catches errors of other services as well as errors that were raised here.

    Raises:
        KeyError: there is no such reason.
    """
    entry = reason if isinstance(reason, Reason) else REASONS[reason]
    kind = _CLASS_OF_CODE.get(entry.grpc_code, DomainError)
    return kind(entry, message, metadata=metadata, retry_after_seconds=retry_after_seconds, violations=violations)


class OciError(Protocol):
    """The shape of the errors of `svckit.oci` (`OciFormatError`)."""

    @property
    def reason(self) -> str:
        """A key of `REASONS`, such as `DIGEST_INVALID`."""

    @property
    def message(self) -> str:
        """The text for people."""

    @property
    def detail(self) -> object:
        """Data for programs: a mapping, a text, or nothing."""


def from_oci_error(error: OciError) -> DomainError:
    """Turns an error of `svckit.oci` into the error that a caller sees.

    A mapping in `detail` becomes the metadata; any other value becomes `metadata["detail"]`. An unknown reason becomes
    BAD_REQUEST.
    """
    detail = error.detail
    metadata: dict[str, str] = {}
    if isinstance(detail, Mapping):
        metadata = {str(key): str(value) for key, value in detail.items()}
    elif detail not in (None, ""):
        metadata = {"detail": str(detail)}
    reason = error.reason if error.reason in REASONS else "BAD_REQUEST"
    return error_for(reason, error.message, metadata=metadata)

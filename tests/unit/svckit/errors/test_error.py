import pytest

from svckit.errors import (
    Conflict,
    Denied,
    DomainError,
    FieldViolation,
    Invalid,
    NotFound,
    Precondition,
    Unauthenticated,
    Unavailable,
    error_for,
    from_oci_error,
)
from svckit.oci.errors import DigestInvalidError, TagInvalidError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFound(), "NOT_FOUND"),
        (Denied(), "FORBIDDEN"),
        (Unauthenticated(), "UNAUTHORIZED"),
        (Conflict(), "CONFLICT"),
        (Invalid(), "BAD_REQUEST"),
        (Precondition(), "PRECONDITION"),
        (Unavailable(), "UNAVAILABLE"),
        (DomainError(), "INTERNAL"),
    ],
)
def test_a_subclass_has_a_reason_of_its_own(error: DomainError, reason: str) -> None:
    assert error.reason == reason


def test_an_error_says_its_own_text_or_the_tables() -> None:
    assert NotFound("MANIFEST_UNKNOWN").message == "manifest unknown to registry"
    assert str(NotFound("MANIFEST_UNKNOWN", "no tag 1.2")) == "MANIFEST_UNKNOWN: no tag 1.2"


def test_an_unknown_reason_is_refused_when_it_is_raised() -> None:
    with pytest.raises(KeyError, match="NO_SUCH"):
        DomainError("NO_SUCH")


def test_waiting_time_is_the_tables_unless_said() -> None:
    assert Unavailable().retry_after_seconds == 1
    assert Unavailable(retry_after_seconds=7.5).retry_after_seconds == 7.5
    assert NotFound().retry_after_seconds is None


def test_an_internal_error_keeps_its_text_to_itself() -> None:
    error = DomainError("INTERNAL", "disk /srv/blobs is full")
    assert error.public_message == "internal error"
    assert "disk" in str(error)


def test_metadata_cannot_be_changed_after_the_fact() -> None:
    given = {"scope": "repository:a/b:pull"}
    error = Unauthenticated("INSUFFICIENT_SCOPE", metadata=given)
    given["scope"] = "repository:c/d:push"
    assert error.metadata == {"scope": "repository:a/b:pull"}
    with pytest.raises(TypeError):
        error.metadata["scope"] = ""  # type: ignore[index]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("PROJECT_UNKNOWN", NotFound),
        ("DENIED", Denied),
        ("INSUFFICIENT_SCOPE", Unauthenticated),
        ("UPLOAD_CONFLICT", Conflict),
        ("RANGE_INVALID", Invalid),
        ("PROJECT_NOT_EMPTY", Precondition),
        ("UNAVAILABLE", Unavailable),
        ("QUOTA_EXCEEDED", DomainError),
        ("INTERNAL", DomainError),
    ],
)
def test_a_reason_known_at_run_time_only_gives_the_class_that_reads_well(reason: str, kind: type[DomainError]) -> None:
    error = error_for(reason, violations=[FieldViolation("f", "d")])
    assert type(error) is kind
    assert error.reason == reason
    assert error.violations == (FieldViolation("f", "d"),)


def test_what_oci_refuses_becomes_a_domain_error() -> None:
    error = from_oci_error(DigestInvalidError("no digest", field="config.digest"))
    assert isinstance(error, Invalid)
    assert (error.reason, error.message, error.metadata) == (
        "DIGEST_INVALID",
        "no digest",
        {"field": "config.digest"},
    )
    assert from_oci_error(TagInvalidError("no tag")).reason == "TAG_INVALID"


def test_an_oci_reason_that_the_table_lacks_is_a_bad_request() -> None:
    class Odd:
        reason = "ODD"
        message = "odd"
        detail = 5

    error = from_oci_error(Odd())
    assert (error.reason, error.metadata) == ("BAD_REQUEST", {"detail": "5"})

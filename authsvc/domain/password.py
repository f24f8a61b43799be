"""Passwords that people choose."""

from svckit.errors import FieldViolation, Invalid

MINIMUM_CHARACTERS = 8
MAXIMUM_CHARACTERS = 128


def check_new_password(password: str, name: str) -> None:
    """Checks a password or a chosen secret by Harbor's rule.

    It needs 8 to 128 characters, with at least one upper-case letter, one lower-case letter and one digit.

    Args:
        password: the password or secret.
        name: the name of the request's field, for the error.

    Raises:
        DomainError: BAD_REQUEST. Its text never contains the password.
    """
    if (
        not MINIMUM_CHARACTERS <= len(password) <= MAXIMUM_CHARACTERS
        or "\0" in password
        or not any(character.isupper() for character in password)
        or not any(character.islower() for character in password)
        or not any(character.isdigit() for character in password)
    ):
        description = (
            f"must have {MINIMUM_CHARACTERS} to {MAXIMUM_CHARACTERS} characters, with at least one upper-case letter, "
            "one lower-case letter and one digit"
        )
        # Harbor's text.
        raise Invalid(
            message="the password or secret must be longer than 8 chars with at least 1 uppercase letter, "
            "1 lowercase letter and 1 number",
            violations=[FieldViolation(name, description)],
        )

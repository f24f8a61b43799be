"""Passwords that people choose."""

from svckit.errors import FieldViolation, Invalid

MINIMUM_CHARACTERS = 8
MAXIMUM_CHARACTERS = 128


def check_new_password(password: str, name: str) -> None:
    """Holds a password or a chosen secret against Harbor's rule.

    That is 8 to 128 characters, with an upper-case letter, a lower-case letter and a digit among them.

    Args:
        password: what was chosen.
        name: of the field that it came in, for the refusal.

    Raises:
        DomainError: BAD_REQUEST. Its text never holds the password.
    """
    if (
        not MINIMUM_CHARACTERS <= len(password) <= MAXIMUM_CHARACTERS
        or "\0" in password
        or not any(character.isupper() for character in password)
        or not any(character.islower() for character in password)
        or not any(character.isdigit() for character in password)
    ):
        description = (
            f"has {MINIMUM_CHARACTERS} to {MAXIMUM_CHARACTERS} characters, with an upper-case letter, a lower-case "
            "letter and a digit among them"
        )
        raise Invalid(message=f"{name} {description}", violations=[FieldViolation(name, description)])

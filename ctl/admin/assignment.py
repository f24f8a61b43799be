"""KEY=VALUE, as an argument."""

from argparse import ArgumentTypeError


def parse_assignment(text: str) -> tuple[str, str]:
    """The key and the value; the value may be empty.

    Raises:
        ArgumentTypeError: if it is no KEY=VALUE.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value

"""The errors that the command prints without a stack trace."""


class CommandError(Exception):
    """A command failed. The text is for the person at the terminal. The exit code is 1."""

"""What the command says instead of a stack."""


class CommandError(Exception):
    """Why a command cannot do what it was asked for, in words for the person at the terminal. Exit code 1."""

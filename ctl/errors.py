"""The errors that the command prints without a stack trace."""


class CommandError(Exception):
    """A command failed. The text is for the person at the terminal.

    Attributes:
        status: the exit status.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        """Takes the text and the exit status."""
        super().__init__(text)
        self.status = status

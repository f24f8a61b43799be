"""The error of a service that cannot start."""


class StartError(Exception):
    """The installation is wrong, not the program. The text is for the person who starts the service."""

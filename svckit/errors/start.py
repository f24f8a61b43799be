"""What keeps a service from starting."""


class StartError(Exception):
    """Something is wrong with the installation, not with the program. The text is for whoever starts the service."""

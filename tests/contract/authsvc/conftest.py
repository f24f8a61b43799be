"""Fixtures of this folder."""

from tests.harness.authsvc import auth_store, authsvc, migrations, socket_folder

__all__ = ["auth_store", "authsvc", "migrations", "socket_folder"]

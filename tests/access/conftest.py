"""Fixtures of this folder."""

from tests.access.realm import realm
from tests.access.world import world
from tests.harness.authsvc import auth_store, authsvc, migrations, socket_folder

__all__ = ["auth_store", "authsvc", "migrations", "realm", "socket_folder", "world"]

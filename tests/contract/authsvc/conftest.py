"""Fixtures of this folder."""

from tests.contract.authsvc.refreshing import alice, other_folder, robot
from tests.harness.authsvc import auth_store, authsvc, migrations, socket_folder

__all__ = ["alice", "auth_store", "authsvc", "migrations", "other_folder", "robot", "socket_folder"]

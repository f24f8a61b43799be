"""RPCs that end refresh tokens. To give one is a log-in, and no change."""

from authsvc.domain.change import ChangeKind
from roadstead.auth.v1 import refresh_token_service_pb2
from tests.contract.authsvc.writes.write import Write

REFRESH_TOKEN_WRITES = [
    Write(
        "RefreshTokenService/RevokeUserRefreshToken",
        lambda world: world.bob.refresh_tokens.RevokeUserRefreshToken(
            refresh_token_service_pb2.RevokeUserRefreshTokenRequest(
                user_id=world.bob.id, refresh_token_id=world.user_token_id
            )
        ),
        ChangeKind.REFRESH_TOKEN_REVOKED,
        "bob",
        old={"client_id": "docker", "service": "harbor-registry", "create_address": "", "last_use_address": ""},
        by="bob",
        in_project=False,
        id_of=lambda world: world.user_token_id,
    ),
    Write(
        "RefreshTokenService/RevokeRobotRefreshToken",
        lambda world: world.alice.refresh_tokens.RevokeRobotRefreshToken(
            refresh_token_service_pb2.RevokeRobotRefreshTokenRequest(
                robot_id=world.robot_id, refresh_token_id=world.robot_token_id
            )
        ),
        ChangeKind.REFRESH_TOKEN_REVOKED,
        "robot$team+ci",
        old={
            "robot_id": 1,
            "client_id": "docker",
            "service": "harbor-registry",
            "create_address": "",
            "last_use_address": "",
        },
        id_of=lambda world: world.robot_token_id,
    ),
]

"""Every RPC of authsvc that writes, and the change that it must record."""

from tests.contract.authsvc.writes.account import ACCOUNT_WRITES
from tests.contract.authsvc.writes.project import PROJECT_WRITES
from tests.contract.authsvc.writes.refresh_token import REFRESH_TOKEN_WRITES

WRITES = [*ACCOUNT_WRITES, *PROJECT_WRITES, *REFRESH_TOKEN_WRITES]

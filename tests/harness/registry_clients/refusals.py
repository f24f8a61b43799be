"""What each client is answered, and prints, when it may not do something: refusals.toml, as the programs were seen."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("refusals.toml")


@dataclass(frozen=True)
class Refusal:
    """One refusal.

    Attributes:
        about: what the client asked for, as `Exchange.about` names it.
        status: of the registry's last answer about that.
        code: of the same answer; empty if it has none, as every answer to HEAD.
        says: what the client prints to standard error, without the names in it.
    """

    about: str
    status: int
    code: str
    says: str


REFUSALS: Mapping[str, Mapping[str, Refusal]] = {
    client: {what: Refusal(**row) for what, row in rows.items()}
    for client, rows in tomllib.loads(_FILE.read_text(encoding="utf-8")).items()
}
"""By the name of the client, and by what is refused."""

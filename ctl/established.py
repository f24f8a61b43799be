"""What an installation has stored, so that a start without it is refused.

A service makes what is missing: that is its first start. Beside the data of the others, an empty database or blob
folder would be a loss that nobody notices until a pull fails. So when everything serves, `roadstead up` writes down
which databases and which blob folder this installation has, and later starts tell the services to insist on them.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from ctl.data_dir import DataDir
from ctl.errors import CommandError
from svckit.durable import replace_file
from svckit.services import SERVICES, Service
from svckit.store_id import read_store_id


@dataclass(frozen=True)
class Established:
    """The data that an installation has.

    Attributes:
        databases: the services whose SQLite file in the data directory has been used.
        store_ids: the ids of the folders of services that keep files, by service.
    """

    databases: frozenset[str]
    store_ids: Mapping[str, str]

    @classmethod
    def load(cls, data_dir: DataDir) -> Self:
        """Reads what was written down; nothing before the end of the first start.

        Raises:
            CommandError: the file is damaged.
        """
        try:
            document = json.loads(data_dir.established_file.read_bytes())
            return cls(
                frozenset(map(str, document["databases"])),
                {str(service): str(store) for service, store in document["stores"].items()},
            )
        except FileNotFoundError:
            return cls(frozenset(), {})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CommandError(
                f"{data_dir.established_file} is damaged ({error}). If all data of this installation is in its place, "
                "remove the file: the next start writes it again"
            ) from error

    @classmethod
    def find(cls, data_dir: DataDir) -> Self:
        """What the data directory holds now. Data that variables put elsewhere is not looked for."""
        rows = SERVICES.values()
        return cls(
            frozenset(row.name for row in rows if row.database and not _is_elsewhere(row)),
            {
                row.name: read_store_id(data_dir.service_dir(row.name))
                for row in rows
                if row.keeps_files and not _is_elsewhere(row)
            },
        )

    def save(self, data_dir: DataDir) -> None:
        """Writes it down, unless it is written already. What is known of data that is elsewhere now is kept.

        Raises:
            OSError: the file cannot be written.
        """
        known = Established.load(data_dir)
        merged = Established(known.databases | self.databases, {**known.store_ids, **self.store_ids})
        if merged == known:
            return
        document = {"databases": sorted(merged.databases), "stores": dict(sorted(merged.store_ids.items()))}
        replace_file(data_dir.established_file, f"{json.dumps(document)}\n".encode(), mode=0o600)

    def without(self, services: Collection[str]) -> "Established":
        """The same, without some services, which may then start with any data."""
        return Established(
            self.databases - set(services),
            {service: store for service, store in self.store_ids.items() if service not in services},
        )

    def settings(self, service: Service) -> Mapping[str, str | bool]:
        """The settings by which a service insists on its data."""
        if _is_elsewhere(service):
            return {}
        settings: dict[str, str | bool] = {}
        if service.name in self.databases:
            settings["database_must_exist"] = True
        if service.name in self.store_ids:
            settings["store_id"] = self.store_ids[service.name]
        return settings


def _is_elsewhere(service: Service) -> bool:
    """Whether a variable says where the data is. The data directory then knows nothing of it."""
    setting = "DATABASE_URL" if service.database else "DATA_DIR"
    return f"ROADSTEAD_{service.name.upper()}_{setting}" in os.environ

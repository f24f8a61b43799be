"""`roadstead admin changes`: looks after the change logs of an installation that is stopped."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ctl.data_dir import DataDir
from ctl.errors import CommandError
from ctl.service import settings_class
from svckit.errors import DomainError
from svckit.errors.start import StartError
from svckit.services import SERVICES
from svckit.settings import SettingsError
from svckit.sql.epoch import renew_epoch
from svckit.sql.opening import open_database
from svckit.sql.settings import DatabaseServiceSettings


@dataclass(frozen=True, slots=True)
class _Place:
    """The database of a service."""

    url: str
    schema: str | None = None


def renew_epochs(data_dir: DataDir) -> int:
    """Begins new epochs in the databases of `roadstead up`. Variables may have moved them, as for `up` itself.

    Raises:
        CommandError: it runs, or a database is missing or cannot be opened.
    """
    if not data_dir.format_file.exists():
        raise CommandError(f"{data_dir.path} is no data directory of `roadstead up`")
    places: dict[str, _Place] = {}
    for name, row in SERVICES.items():
        if row.logs_changes:
            given = os.environ.get(f"ROADSTEAD_{name.upper()}_DATABASE_URL")
            schema = os.environ.get(f"ROADSTEAD_{name.upper()}_DATABASE_SCHEMA") or name
            places[name] = _Place(given or f"sqlite:///{data_dir.service_dir(name) / row.database}", schema)
    with data_dir.opened():
        return _renew(places)


def renew_epochs_of(config: Path) -> int:
    """Begins new epochs in the databases that the settings file of `roadstead serve` names.

    Raises:
        CommandError: it cannot be read, or a database is in use, is missing or cannot be opened.
    """
    places: dict[str, _Place] = {}
    for name, row in SERVICES.items():
        if not row.logs_changes:
            continue
        try:
            settings = settings_class(name).load(config, name)
        except SettingsError as error:
            raise CommandError(str(error)) from error
        if isinstance(settings, DatabaseServiceSettings):
            places[name] = _Place(settings.database_url.get_secret_value(), settings.database_schema)
    return _renew(places)


def _renew(places: Mapping[str, _Place]) -> int:
    for name, place in places.items():
        with _readable_errors(name):
            epoch = asyncio.run(_renew_one(place))
        if epoch is not None:
            print(f"{name}: the change log has the new epoch {epoch}")
    return 0


async def _renew_one(place: _Place) -> str | None:
    database = await open_database(place.url, schema=place.schema, must_exist=True)
    try:
        return await renew_epoch(database)
    finally:
        await database.close()


@contextmanager
def _readable_errors(service: str) -> Iterator[None]:
    try:
        yield
    except (StartError, DomainError, OSError, ValueError) as error:
        raise CommandError(f"the database of {service}: {error}") from error

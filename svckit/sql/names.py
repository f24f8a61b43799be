"""The default names of constraints and indexes. Tables and migrations use the same."""

from collections.abc import Mapping

NAMING_CONVENTION: Mapping[str, str] = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""For `sqlalchemy.MetaData`."""

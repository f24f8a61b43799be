"""Tables on SQLite and PostgreSQL: units of work, column types, statements that differ, and migrations.

`opening` opens a database, `database` defines its units of work, `types` has the column types, `statements` has the
statements that differ between the two databases, and `migrate` runs the migrations. Stores use SQLAlchemy Core, never
the ORM.
"""

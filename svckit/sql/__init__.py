"""Tables on SQLite and PostgreSQL: units of work, column types, statements that differ, and migrations.

`opening` opens a database, which gives out connections (`database`); `types` holds the column types, `statements` what
the two dialects spell differently; `migrate` brings the tables to what the program expects. Stores write SQLAlchemy
Core, never the ORM.
"""

"""What metasvc's stores promise, on SQLite and on PostgreSQL."""

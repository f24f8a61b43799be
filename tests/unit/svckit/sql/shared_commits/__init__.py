"""Short writing units of SQLite: they share a transaction, and none is answered before its sync."""

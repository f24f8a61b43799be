"""SQLite: one process per file, with one unit at a time that writes and a few that read beside it (WAL).

`database` is the database, `lock` keeps other processes out, `connecting` opens connections. `threaded` has
connections with a thread of their own; `short_reads` and `short_writes` run statements on the thread of the event loop.
`turns` says who writes next.
"""

"""The change log of a service over gRPC: who follows it, by which positions, and how long it is kept.

`svckit.sql.change_log` writes the log, in the transaction of each change. What is here is the same for every service
that has one:

| Module | What it does |
|---|---|
| `store` | the port of the log and its cursors; `svckit.sql.changes` implements it |
| `feed` | reads new changes once for all readers of a process |
| `watching` | one reader's stream |
| `rights` | who may read what, judged again while a stream lives |
| `serving` | the RPCs of a ChangeService, which each service has in its own package |
| `retention` | what compaction deletes |
| `metrics` | the revision of the log, and how far its cursors are behind |
| `reader` | the other side: follows the log of another service |
"""

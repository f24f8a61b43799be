"""Clients at work while services are killed, and what must hold when all is quiet again.

`run.soak` does it: `actor` is one client's day, `client` its requests, `ledger` what was tried and answered, `chaos`
the kills, `watcher` looks at the tables meanwhile, `invariants` at everything at the end, `resources` at processes.
"""

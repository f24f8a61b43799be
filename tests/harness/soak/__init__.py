"""Clients at work while services are killed, and the checks after it.

`run.soak` runs it. `actor` is one client, `client` sends its requests, `ledger` records requests and answers, and
`chaos` kills services. `watcher` checks the tables meanwhile, `invariants` checks everything at the end, and
`resources` measures processes.
"""

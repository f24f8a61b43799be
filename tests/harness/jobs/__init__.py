"""jobsvc and its worker with kinds that only tests have: `python -m tests.harness.jobs.server FILE`, and `…worker`.

Both are composed as the product's own, with more kinds in the table and more handlers.
"""

"""Every folder below is a package, so that two test files may share a name and `tests.harness` can be imported."""

"""The recount of what projects use."""

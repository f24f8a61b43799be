"""The compaction of the change logs."""

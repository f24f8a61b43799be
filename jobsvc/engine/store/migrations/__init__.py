"""The history of the tables of jobsvc."""

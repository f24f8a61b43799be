"""How the replicas of jobsvc tell each other that tasks wait."""

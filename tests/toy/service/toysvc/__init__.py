"""Says fortunes: what CONTRIBUTING calls a new service."""

"""The runtime configuration, which authsvc stores, and how other services read it."""

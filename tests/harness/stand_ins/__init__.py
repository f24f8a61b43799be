"""Stand-ins of the services, at the gRPC boundary: real servers, real rules and real tokens, dictionaries behind."""

"""Stand-ins of the services, at the gRPC boundary: real servers, rules and tokens, with dictionaries as stores."""

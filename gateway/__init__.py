"""The gateway: HTTP in, gRPC out. It keeps no database and decides no rule."""

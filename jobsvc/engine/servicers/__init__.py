"""The engine over gRPC: parse the request, call the domain once, convert the answer."""

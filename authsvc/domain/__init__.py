"""The rules of access; they know neither gRPC nor SQL."""

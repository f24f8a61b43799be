"""The rules of what is stored; they know neither gRPC nor SQL."""

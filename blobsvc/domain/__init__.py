"""The rules of uploads, generations and placements; they know neither gRPC nor storage."""

"""The rules of uploads, generations and placements, without gRPC and storage."""

"""Generated from the contracts in protos/roadstead by `make protos`: do not edit."""

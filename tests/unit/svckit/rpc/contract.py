"""The contract of `guarded.proto`, compiled when it is first imported."""

from pathlib import Path

from tests.harness.protoc import compile_contract

guarded_pb2, guarded_pb2_grpc = compile_contract(Path(__file__).with_name("guarded.proto"))
"""As the generated modules: messages, and stub, servicers and `add_…` functions."""

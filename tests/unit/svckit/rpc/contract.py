"""The contract of `guarded.proto`, compiled when it is first imported."""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc_tools
from grpc_tools import protoc

_HERE = Path(__file__).resolve().parent
_PROTOS = _HERE.parents[3] / "protos"


def _compile() -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        status = protoc.main(
            [
                "protoc",
                f"--proto_path={_HERE}",
                f"--proto_path={_PROTOS}",
                f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
                f"--python_out={folder}",
                f"--grpc_python_out={folder}",
                "guarded.proto",
            ]
        )
        if status != 0:
            raise RuntimeError("guarded.proto does not compile")
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("guarded_pb2"), importlib.import_module("guarded_pb2_grpc")
        finally:
            sys.path.remove(folder)


guarded_pb2, guarded_pb2_grpc = _compile()
"""As the generated modules: messages, and stub, servicers and `add_…` functions."""

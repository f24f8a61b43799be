"""Compiles the contracts of tests when they are first needed."""

import importlib
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import grpc_tools
from grpc_tools import protoc

_PROTOS = Path(__file__).resolve().parents[2] / "protos"


def compile_contract(path: Path) -> tuple[Any, Any]:
    """The generated modules of a contract: messages, and stub, servicers and `add_…` functions.

    Args:
        path: of the .proto file. Its name is that of the modules, so no other may have it.
    """
    with tempfile.TemporaryDirectory() as folder:
        status = protoc.main(
            [
                "protoc",
                f"--proto_path={path.parent}",
                f"--proto_path={_PROTOS}",
                f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
                # For google/rpc.
                f"--proto_path={distribution('googleapis-common-protos').locate_file('')}",
                f"--python_out={folder}",
                f"--grpc_python_out={folder}",
                path.name,
            ]
        )
        if status != 0:
            raise RuntimeError(f"{path.name} does not compile")
        sys.path.insert(0, folder)
        try:
            return importlib.import_module(f"{path.stem}_pb2"), importlib.import_module(f"{path.stem}_pb2_grpc")
        finally:
            sys.path.remove(folder)

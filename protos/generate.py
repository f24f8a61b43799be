"""Writes the Python stubs of every contract into protos/gen/roadstead, which is checked in.

`generate.py` regenerates them, `generate.py --check` fails when they are not what the contracts say, and
`generate.py --third-party` only copies the Google contracts that ours import, which buf and protoc read from
`protos/third_party` so that neither needs the network. Google's own stubs come from googleapis-common-protos.
"""

import argparse
import re
import shutil
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
STUBS = PROTOS / "gen" / "roadstead"
THIRD_PARTY = PROTOS / "third_party"

# What a contract of ours may import beside google/protobuf, which protoc and buf bring along.
GOOGLE = (
    "google/api/annotations.proto",
    "google/api/field_behavior.proto",
    "google/api/http.proto",
    "google/api/httpbody.proto",
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
)

SERVICE = re.compile(r"^service\s+\w+", re.MULTILINE)

PACKAGE_DOCSTRING = '"""Generated from the contracts in protos/roadstead by `make protos`: do not edit."""\n'


def copy_third_party() -> None:
    """Copies the Google contracts out of the installed wheel, and leaves those alone that are the same."""
    wheel = distribution("googleapis-common-protos")
    for name in GOOGLE:
        source = Path(str(wheel.locate_file(name)))
        target = THIRD_PARTY / name
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def compile_contracts(contracts: list[Path], *outputs: str) -> None:
    """Runs protoc over `contracts`. Raises SystemExit when it refuses one; it has said why on stderr."""
    if not contracts:
        return
    # protoc looks for its plugins in PATH, and the virtual environment need not be activated.
    scripts = Path(sys.executable).parent
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={THIRD_PARTY}",
            f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            *outputs,
            *(str(path.relative_to(PROTOS)) for path in contracts),
        ]
    )
    if status != 0:
        raise SystemExit(status)


def generate(output: Path) -> None:
    """Writes stubs, their types and the package files below `output`, which then holds `roadstead/`."""
    contracts = sorted(PROTOS.glob("roadstead/**/*.proto"))
    services = [path for path in contracts if SERVICE.search(path.read_text())]
    compile_contracts(contracts, f"--python_out={output}", f"--mypy_out=quiet:{output}")
    # A file without a service would only give an empty module.
    compile_contracts(services, f"--grpc_python_out={output}", f"--mypy_grpc_out=quiet:{output}")
    root = output / "roadstead"
    root.mkdir(exist_ok=True)
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        (folder / "__init__.py").write_text(PACKAGE_DOCSTRING)
    (root / "py.typed").touch()


def stub_files(root: Path) -> dict[str, bytes]:
    """What stands below `root`, by path, without what Python leaves there when it imports."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def write(fresh: dict[str, bytes]) -> None:
    """Makes the checked-in stubs equal to `fresh`, touching only files that differ."""
    present = stub_files(STUBS)
    for name in present.keys() - fresh.keys():
        (STUBS / name).unlink()
    for name, content in fresh.items():
        if present.get(name) != content:
            (STUBS / name).parent.mkdir(parents=True, exist_ok=True)
            (STUBS / name).write_bytes(content)


def check(fresh: dict[str, bytes]) -> None:
    """Raises SystemExit, naming the files, when the checked-in stubs differ from `fresh`."""
    present = stub_files(STUBS)
    stale = sorted(name for name in present.keys() | fresh.keys() if present.get(name) != fresh.get(name))
    if stale:
        raise SystemExit("\n".join(["stubs are not what the contracts say; run `make protos`:", *stale]))


def main() -> None:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    mode.add_argument("--third-party", action="store_true", help="only copy Google's contracts")
    arguments = parser.parse_args()
    copy_third_party()
    if arguments.third_party:
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = stub_files(Path(scratch) / "roadstead")
    if arguments.check:
        check(fresh)
    else:
        write(fresh)


if __name__ == "__main__":
    main()

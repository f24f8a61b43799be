"""`python -m blobsvc --config FILE`: the same as `roadstead serve blobsvc`."""

import argparse
import sys
from pathlib import Path

from blobsvc.server import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="blobsvc", description="Serves the bytes of a Roadstead registry.")
    parser.add_argument("--config", type=Path, help="the TOML file; without it, settings come from the environment")
    sys.exit(main(parser.parse_args().config))

"""`python -m authsvc --config FILE`: the same as `roadstead serve authsvc`."""

import argparse
import sys
from pathlib import Path

from authsvc.server import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="authsvc", description="Says who may do what in a Roadstead registry.")
    parser.add_argument("--config", type=Path, help="the TOML file; without it, settings come from the environment")
    sys.exit(main(parser.parse_args().config))

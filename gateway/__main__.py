"""`python -m gateway --config FILE`: the same as `roadstead serve gateway`."""

import argparse
import sys
from pathlib import Path

from gateway.server import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="gateway", description="Serves a Roadstead registry over HTTP.")
    parser.add_argument("--config", type=Path, help="the TOML file; without it, settings come from the environment")
    sys.exit(main(parser.parse_args().config))

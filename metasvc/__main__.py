"""`python -m metasvc --config FILE`: the same as `roadstead serve metasvc`."""

import argparse
import sys
from pathlib import Path

from metasvc.server import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="metasvc", description="Keeps what a Roadstead registry stores.")
    parser.add_argument("--config", type=Path, help="the TOML file; without it, settings come from the environment")
    sys.exit(main(parser.parse_args().config))

"""`python -m jobsvc --config FILE`: the same as `roadstead serve jobsvc`."""

import argparse
import sys
from pathlib import Path

from jobsvc.server import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="jobsvc", description="Runs what takes long or comes later.")
    parser.add_argument("--config", type=Path, help="the TOML file; without it, settings come from the environment")
    sys.exit(main(parser.parse_args().config))

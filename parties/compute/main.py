"""Runs the compute node by compute.toml beside this file; takes its options."""

import sys
from pathlib import Path

from mpcseg.cli.app import main

if __name__ == "__main__":
    config = Path(__file__).with_name("compute.toml")
    sys.argv[1:1] = ["compute", "serve", "--config", str(config)]
    main()

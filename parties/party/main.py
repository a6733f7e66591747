"""Runs this organisation's party node by party.toml beside this file; takes its options."""

import sys
from pathlib import Path

from mpcseg.cli.app import main

if __name__ == "__main__":
    config = Path(__file__).with_name("party.toml")
    sys.argv[1:1] = ["party", "run", "--config", str(config)]
    main()

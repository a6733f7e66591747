"""Runs the key node by key.toml beside this file; takes its options."""

import sys
from pathlib import Path

from mpcseg.cli.app import main

if __name__ == "__main__":
    config = Path(__file__).with_name("key.toml")
    sys.argv[1:1] = ["key", "run", "--config", str(config)]
    main()

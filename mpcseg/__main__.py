"""``python -m mpcseg`` is the same as the command ``mpcseg``."""

from mpcseg.cli.app import main

if __name__ == "__main__":
    main()

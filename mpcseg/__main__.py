"""The command ``mpcseg``, and ``python -m mpcseg``.

A worker process imports this file anew when it is spawned, so it imports nothing by itself.
"""


def main() -> None:
    """Run the command line."""
    from mpcseg.cli.app import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()

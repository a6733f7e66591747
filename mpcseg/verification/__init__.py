"""What a security reviewer runs: checks of the logs, replay, search for exposed values."""

"""Measurements behind the figures in README and docs; run with ``make bench``."""

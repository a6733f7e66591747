"""Fuzzing of every parser of foreign bytes (docs/fuzzing.md)."""

"""Stubs generated from proto/mpcseg/v1 by tools/generate_stubs.py. Not edited by hand."""

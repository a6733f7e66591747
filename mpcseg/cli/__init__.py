"""The command line: one file per command group, thin; the work is in the layers below."""

"""Search of a whole study for values in the clear: wires, memory, disk, logs, crash output.

A study runs on canary records, whose every encoding can be told from anything else. Nodes are the
product's own commands in processes of their own; they are not changed for the search.
"""

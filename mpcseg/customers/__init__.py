"""An organisation's own customers: its table, which of them take part, and their labels.

Runs at party nodes and recipients only, on data that never leaves them in the clear.
"""

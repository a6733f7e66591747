"""The encrypted mathematics: parameter sets, circuits, packing, slot sums, keys.

Secret-key code is in :mod:`mpcseg.ckks.secret` alone, and only the key node may import it.
"""

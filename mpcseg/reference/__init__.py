"""The mathematics of mpcseg in the clear, in plain NumPy: what encrypted results are held against.

Nothing here touches a ciphertext or a network. Arrays are float64; records stand in scaled space
(every feature in [-1, 1], docs/protocol.md section 2).
"""

"""The three nodes of a study: compute (the only server), party and key, which dial out."""

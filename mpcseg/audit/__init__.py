"""The audit log of every node: what crossed a wire, what was decrypted, under which signature."""

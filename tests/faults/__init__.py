"""Real studies on hosts of their own, and what is done to their nodes (`make faults`)."""

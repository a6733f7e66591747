"""Many studies in a row on one compute node, on bad days (`make soak`)."""

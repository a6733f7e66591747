"""What leaves the key node: noise, its budget, and the rules of release. Free of TenSEAL."""

"""What people get: the segment table in original units, for reading and as CSV and JSON."""

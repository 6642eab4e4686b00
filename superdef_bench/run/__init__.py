"""The plan of a benchmark and its execution."""

"""A config read, checked and built."""

"""Questions to a run or a defense."""

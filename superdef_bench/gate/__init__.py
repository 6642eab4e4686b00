"""Whether something got worse: against a baseline, over commits. No torch."""

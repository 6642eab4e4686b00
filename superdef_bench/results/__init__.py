"""results.json: rows, statistics, ranks and the masking verdict. No torch."""

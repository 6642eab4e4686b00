"""`python -m superdef_bench`."""

from superdef_bench.cli import main

main()

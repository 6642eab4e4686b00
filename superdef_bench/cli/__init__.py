"""The command line: parse, call, print."""

from superdef_bench.cli import benchmarks, measure, plugins, work
from superdef_bench.cli.root import app, main

__all__ = ["app", "benchmarks", "main", "measure", "plugins", "work"]

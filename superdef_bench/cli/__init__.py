"""The command line: parse, call, print."""

from superdef_bench.cli import benchmarks, gate, measure, plugins, work
from superdef_bench.cli.root import app, main

__all__ = ["app", "benchmarks", "gate", "main", "measure", "plugins", "work"]

"""Parse, call, print."""

from superdef_bench.cli import analysis, gate, leaderboard, measure, plugins, run, train
from superdef_bench.cli.app import main, run_typed

__all__ = [
    "analysis",
    "gate",
    "leaderboard",
    "main",
    "measure",
    "plugins",
    "run",
    "run_typed",
    "train",
]

"""Parse, call, print."""

from superdef_bench.cli import (
    analysis,
    bank,
    data,
    gate,
    init,
    leaderboard,
    measure,
    plugins,
    prior,
    run,
    train,
    verify,
)
from superdef_bench.cli.app import main, run_typed

__all__ = [
    "analysis",
    "bank",
    "data",
    "gate",
    "init",
    "leaderboard",
    "main",
    "measure",
    "plugins",
    "prior",
    "run",
    "run_typed",
    "train",
    "verify",
]

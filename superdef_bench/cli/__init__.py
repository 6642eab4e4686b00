"""Parse, call, print."""

from superdef_bench.cli import (
    analysis,
    bank,
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

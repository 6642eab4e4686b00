"""Parse, call, print."""

from superdef_bench.cli import (
    analysis,
    bank,
    gate,
    init,
    leaderboard,
    measure,
    plugins,
    residual,
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
    "residual",
    "run",
    "run_typed",
    "train",
    "verify",
]

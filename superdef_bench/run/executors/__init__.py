"""Where shards run."""

from superdef_bench.run.executors.local import run_local

__all__ = ["run_local"]
